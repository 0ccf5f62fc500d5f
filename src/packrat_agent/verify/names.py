"""Names and fixed texts of a published tree, as clients know them.

They deliberately repeat the constants of the code that writes trees, so that a mistake there is not repeated here. A
test compares the two.
"""

from collections.abc import Mapping

KEY_ARMORED = "repo-key"
KEY_BINARY = "repo-key.gpg"
OWN_KEYS = "repo-keys"
"""The directory of the keys of repositories that have one of their own, by name."""

LANDING_PAGE = "index.html"
PAGE_DIR = "repo-page"
LISTING_STYLE = f"{PAGE_DIR}/listing.css"
PACKAGE_LIST = "_repo_main/packages"
"""The directory of the list of packages that the landing page searches, in that of a repository."""

SUMS = "SHA256SUMS"
SIGNED_SUMS = "SHA256SUMS.signed"
MANIFEST = "_repo_main/MANIFEST_all.json"

IMAGE = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
"""Source: OCI Distribution Specification 1.1, "Pulling manifests"."""

OF_ALL_IMAGES = ("_catalog", "_signatures", "_no_referrers")
"""The files in `v2` at the top of a mirror, for the images of all its repositories."""

TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"

REGISTRY_ANSWER = b"{}\n"
"""The body of the registry's answer to /v2/."""

NO_REFERRERS = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}\n'
"""The body of the answer about a manifest to which nothing refers."""

REGISTRY_ERRORS: Mapping[str, bytes] = {
    "manifest_unknown": b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}\n',
    "blob_unknown": b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown to registry"}]}\n',
    "name_unknown": b'{"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}]}\n',
}
"""File name without `.json` → body of that error."""
