"""Reads and checks image manifests and indexes, and writes the manifest of an image that has none.

The same image always gets the same manifest.

Source: OCI Image Format Specification 1.1; Image Manifest Version 2, Schema 2.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packrat_core.errors import Refused

MANIFEST_LIMIT = 1024 * 1024
CONFIG_LIMIT = 8 * 1024 * 1024
DESCRIPTORS_LIMIT = 1000

MANIFEST_TYPES = {
    "application/vnd.oci.image.index.v1+json": "ocii",
    "application/vnd.oci.image.manifest.v1+json": "ocim",
    "application/vnd.docker.distribution.manifest.list.v2+json": "dkrl",
    "application/vnd.docker.distribution.manifest.v2+json": "dkrm",
}
"""Media type of a manifest → the ending of its file, from which web servers derive the type."""
MANIFEST_TYPE_OF_END = {end: media_type for media_type, end in MANIFEST_TYPES.items()}

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
_INDEX_ENDS = ("ocii", "dkrl")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A manifest's description of a blob or of another manifest.

    Attributes:
        digest: `sha256:` and 64 hex digits.
        size: in bytes.
        media_type: '' if there is none.
        name: the annotated reference; '' if there is none.
        elsewhere: clients may fetch it from an address that the descriptor gives.
        record: the JSON object itself.
    """

    digest: str
    size: int
    media_type: str
    name: str
    elsewhere: bool
    record: Mapping[str, Any]

    @property
    def identity(self) -> tuple[str, str, int]:
        """What it says of the bytes: two descriptors that agree in it are right or wrong together."""
        return self.digest, self.media_type, self.size


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index.

    Attributes:
        end: the file name ending that stands for its type, see MANIFEST_TYPES.
        children: the manifests that an index names; empty for a manifest.
        config: the configuration of a manifest; None for an index.
        layers: the layers of a manifest; empty for an index.
        subject: the digest of the manifest that this one is about, such as a signature or a bill of materials; '' if
            there is none.
    """

    end: str
    children: tuple[Descriptor, ...]
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    subject: str = ""

    @property
    def is_index(self) -> bool:
        """Whether it names other manifests."""
        return self.end in _INDEX_ENDS


def read_json(data: bytes, what: str) -> Any:
    """Parse JSON; `what` names it in messages.

    Raises:
        Refused: it is not valid JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Refused(f"its {what} is not JSON") from None


def read_object(data: bytes, what: str) -> Mapping[str, Any]:
    """Parse a JSON object; `what` names it in messages.

    Raises:
        Refused: it is not a JSON object.
    """
    value = read_json(data, what)
    if not isinstance(value, dict):
        raise Refused(f"its {what} is not a JSON object")
    return value


def read_list(value: object, what: str) -> Sequence[Any]:
    """Return a value, checked to be a list of acceptable length; `what` names it in messages.

    Raises:
        Refused: it is not a list, or it is too long.
    """
    if not isinstance(value, list):
        raise Refused(f"its {what} is not a list")
    if len(value) > DESCRIPTORS_LIMIT:
        raise Refused(f"its {what} has {len(value)} items, the limit is {DESCRIPTORS_LIMIT}")
    return value


def read_manifest(data: bytes, described_as: str) -> Manifest:
    """Read a manifest or index.

    Args:
        data: its bytes.
        described_as: the media type by which its descriptor names it; '' if there is none.

    Raises:
        Refused: it is of another or an unsupported type, or one of its descriptors is invalid.
    """
    record = read_object(data, "image manifest")
    # OCI lets a manifest leave out its type; then that of its descriptor counts.
    media_type = record.get("mediaType") or described_as
    if not isinstance(media_type, str) or media_type not in MANIFEST_TYPES:
        raise Refused(
            f"its manifest is of type {repr(media_type)[:120]}; only OCI and Docker schema 2 can be published"
        )
    # Registries serve a manifest under the one type, clients may trust the other.
    if described_as in MANIFEST_TYPES and described_as != media_type:
        raise Refused(f"its manifest calls itself {media_type}, and is called {described_as}")
    end = MANIFEST_TYPES[media_type]
    subject = _read_descriptor(record["subject"], "subject").digest if record.get("subject") is not None else ""
    if record.get("schemaVersion") != 2:
        raise Refused("its manifest is not of schema version 2")
    if end in _INDEX_ENDS:
        # Clients that do not check the type could read such a file as something else (CVE-2021-41190). containerd
        # refuses it even if the value is null.
        if "layers" in record or "config" in record:
            raise Refused("its manifest is an index and an image at once")
        return Manifest(end, read_descriptors(record.get("manifests"), "list of manifests"), None, (), subject)
    if "manifests" in record:
        raise Refused("its manifest is an index and an image at once")
    config = _read_descriptor(record.get("config"), "configuration")
    # Clients take null for an empty list; Go's encoder writes it for an image without layers.
    listed = record["layers"] if record.get("layers") is not None else []
    return Manifest(end, (), config, read_descriptors(listed, "list of layers"), subject)


def read_descriptors(value: object, what: str) -> tuple[Descriptor, ...]:
    """Read a list of descriptors; `what` names the list in messages.

    Raises:
        Refused: it is not a list, or a descriptor is invalid.
    """
    return tuple(_read_descriptor(item, what) for item in read_list(value, what))


def _read_descriptor(value: object, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise Refused(f"its {what} has no descriptor")
    digest, size = value.get("digest"), value.get("size")
    media_type = value["mediaType"] if value.get("mediaType") is not None else ""
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise Refused(f"its {what} names the digest {repr(digest)[:100]}, which is not a SHA-256")
    # In Python, bool is a subclass of int; `true` is not a size.
    if type(size) is not int or size < 0:
        raise Refused(f"its {what} has the size {repr(size)[:40]} for {digest}")
    if not isinstance(media_type, str):
        raise Refused(f"its {what} has no media type for {digest}")
    # containerd's annotation holds the whole reference, that of OCI often only the tag.
    annotations = value.get("annotations")
    name = annotations.get("io.containerd.image.name") if isinstance(annotations, dict) else None
    if name is None and isinstance(annotations, dict):
        name = annotations.get("org.opencontainers.image.ref.name")
    elsewhere = bool(value.get("urls"))
    return Descriptor(digest, size, media_type, name if isinstance(name, str) else "", elsewhere, value)


def write_index(data: bytes, kept: Sequence[Descriptor]) -> bytes:
    """Write an index again with only some of its descriptors."""
    record = {**read_object(data, "index"), "manifests": [child.record for child in kept]}
    return json.dumps(record, separators=(",", ":")).encode()


def write_schema_2(config: tuple[str, int], layers: Sequence[tuple[str, int]]) -> bytes:
    """Write the manifest of an image.

    Args:
        config: SHA-256 and size in bytes of the configuration.
        layers: SHA-256 and size in bytes of each layer, compressed as gzip.
    """
    record = {
        "schemaVersion": 2,
        "mediaType": _SCHEMA_2,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config[1],
            "digest": f"sha256:{config[0]}",
        },
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": size,
                "digest": f"sha256:{sha256}",
            }
            for sha256, size in layers
        ],
    }
    return json.dumps(record, indent=3).encode()
