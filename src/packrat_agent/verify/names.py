"""Names and fixed texts of a published tree, as clients know them.

They are written down here a second time, apart from the code that writes trees: a mistake made there must not be
repeated here. A test holds the two against each other.
"""

from collections.abc import Mapping

KEY_ARMORED = "repo-key"
KEY_BINARY = "repo-key.gpg"
LANDING_PAGE = "index.html"

SUMS = "SHA256SUMS"
MANIFEST = "_repo_main/MANIFEST_all.json"

IMAGE = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
"""Source: OCI Distribution Specification 1.1, "Pulling manifests"."""

TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"

REGISTRY_ANSWER = b"{}\n"
"""The body of the registry's answer to /v2/."""

REGISTRY_ERRORS: Mapping[str, bytes] = {
    "manifest_unknown": b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}\n',
    "blob_unknown": b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown to registry"}]}\n',
    "name_unknown": b'{"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}]}\n',
}
"""Name of the file, without `.json` → the body of that error."""
