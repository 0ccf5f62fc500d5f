"""Reads what publishing needs of an image's configuration: its architecture, and the digests of its plain layers.

Source: OCI Image Format Specification 1.1, "OCI Image Configuration".
"""

import json
from collections.abc import Sequence

from packrat_core.errors import Refused
from packrat_core.packages.image.manifest import DIGEST, read_list, read_object

_ARCHITECTURE_LIMIT = 20
_ATTESTATION = "unknown"
"""What BuildKit calls the architecture, and the operating system, of what it attests of an image."""


def read_architecture(config: bytes) -> str:
    """Return the architecture that a configuration names; '' if it names none, as that of an attestation."""
    try:
        architecture = json.loads(config).get("architecture")
    except (ValueError, RecursionError, AttributeError):
        return ""
    if not isinstance(architecture, str) or not architecture.isalnum() or architecture == _ATTESTATION:
        return ""
    return architecture if len(architecture) < _ARCHITECTURE_LIMIT else ""


def read_diff_ids(config: bytes) -> Sequence[str]:
    """Return the digests of the uncompressed layers, the lowest layer first.

    Raises:
        Refused: the configuration is not a JSON object with a list of digests.
    """
    root = read_object(config, "configuration").get("rootfs")
    diff_ids = read_list((root.get("diff_ids") or []) if isinstance(root, dict) else None, "list of diff_ids")
    for diff_id in diff_ids:
        if not isinstance(diff_id, str) or not DIGEST.fullmatch(diff_id):
            raise Refused(f"its configuration names the layer {repr(diff_id)[:100]}, which is not a SHA-256")
    return diff_ids
