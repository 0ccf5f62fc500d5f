"""Describes artifacts (signatures, bills of materials and others) for the list of what refers to an image.

Source: OCI Distribution Specification 1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from packrat_core.packages.image.manifest import MANIFEST_TYPE_OF_END, OCI_INDEX, read_manifest, read_object

FALLBACK_TAG = re.compile(r"sha256-[0-9a-f]{64}")
"""The tag under which registries without the API keep that list; in an archive, a tool may have put it there."""


def describe_referrer(digest: str, end: str, data: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """Describe a manifest that refers to another one.

    Args:
        digest: its digest.
        end: the file name ending that stands for its media type.
        data: its bytes.

    Returns:
        The digest of its subject, and the descriptor for the list of referrers; None if it has no subject.

    Raises:
        Refused: it is not a usable manifest.
    """
    manifest = read_manifest(data, MANIFEST_TYPE_OF_END[end])
    if not manifest.subject:
        return None
    record = read_object(data, "manifest")
    described: dict[str, Any] = {"mediaType": MANIFEST_TYPE_OF_END[end], "digest": digest, "size": len(data)}
    artifact_type = record.get("artifactType") or (manifest.config.media_type if manifest.config is not None else "")
    if isinstance(artifact_type, str) and artifact_type:
        described["artifactType"] = artifact_type
    annotations = record.get("annotations")
    if isinstance(annotations, dict) and annotations:
        # Clients take null for an empty text.
        texts = ((key, "" if value is None else str(value)) for key, value in sorted(annotations.items()))
        described["annotations"] = dict(texts)
    return manifest.subject, described


def write_referrers(described: Iterable[Mapping[str, Any]]) -> bytes:
    """Write the list of the manifests that refer to one other, an OCI index."""
    listed = sorted(described, key=lambda descriptor: str(descriptor["digest"]))
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode() + b"\n"
