"""Builds small image archives as `docker save` and other tools write them, with the same bytes each time.

Source: Docker Image Specification 1.2; OCI Image Layout Specification 1.1.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOMENT = 1_700_000_000
_CREATED = "2023-11-14T22:13:20Z"
_OCI = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class Image:
    """An image to build; each layer is a tuple of files: path → content."""

    name: str
    version: str
    layers: tuple[tuple[tuple[str, bytes], ...], ...] = ((("hello", b"hello\n"),),)
    architecture: str = "amd64"

    @property
    def file_name(self) -> str:
        """The usual name of its file."""
        return f"{self.name}_{self.version}.tar"


def build_classic(image: Image) -> bytes:
    """Make an archive as docker before 25 does: plain layers, `manifest.json`, links in place of repeated layers."""
    config, layers = _config(image), _layers(image)
    files: list[tuple[str, bytes | str]] = []
    names: list[str] = []
    first: dict[str, str] = {}
    for number, layer in enumerate(layers):
        directory = hashlib.sha256(f"{image.file_name} {number}".encode()).hexdigest()
        digest = _hex(layer)
        files.append((f"{directory}/VERSION", b"1.0"))
        files.append((f"{directory}/layer.tar", f"../{first[digest]}" if digest in first else layer))
        first.setdefault(digest, f"{directory}/layer.tar")
        names.append(f"{directory}/layer.tar")
    files.append((f"{_hex(config)}.json", config))
    listed = [{"Config": f"{_hex(config)}.json", "RepoTags": [f"{image.name}:{image.version}"], "Layers": names}]
    files.append(("manifest.json", _json(listed)))
    return tar(files)


def build_oci(*images: Image) -> bytes:
    """Make an archive as docker 25 does: an OCI layout with `manifest.json`; several images share one name."""
    blobs: dict[str, bytes] = {}
    manifests = [_add_manifest(blobs, image) for image in images]
    top = manifests[0]
    if len(images) > 1:
        index = _json({"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": manifests})
        top = _add(blobs, f"{_OCI}.index.v1+json", index)
    name = {"io.containerd.image.name": f"docker.io/library/{images[0].name}:{images[0].version}"}
    layout: list[tuple[str, bytes | str]] = [(f"blobs/sha256/{digest}", data) for digest, data in sorted(blobs.items())]
    described = [{**top, "annotations": {**name, "org.opencontainers.image.ref.name": images[0].version}}]
    layout.append(("index.json", _json({"schemaVersion": 2, "manifests": described})))
    if len(images) == 1:
        config = f"blobs/sha256/{_hex(_config(images[0]))}"
        layers = [f"blobs/sha256/{_hex(layer)}" for layer in _layers(images[0])]
        layout.append(("manifest.json", _json([{"Config": config, "RepoTags": None, "Layers": layers}])))
    layout.append(("oci-layout", _json({"imageLayoutVersion": "1.0.0"})))
    return tar(layout)


def write_image(image: Image, directory: Path, data: bytes | None = None) -> Path:
    """Write the archive of an image, or the one in `data`, under the image's usual name.

    Args:
        image: The image.
        directory: Where to write it.
        data: An archive in place of the one that is built.
    """
    path = directory / image.file_name
    path.write_bytes(build_oci(image) if data is None else data)
    return path


def tar(files: Sequence[tuple[str, bytes | str]]) -> bytes:
    """Make a tar file of files (bytes) and symbolic links (text)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = 0o644, _MOMENT
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, data
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return output.getvalue()


def _add_manifest(blobs: dict[str, bytes], image: Image) -> dict[str, Any]:
    config = _add(blobs, f"{_OCI}.config.v1+json", _config(image))
    layers = [_add(blobs, f"{_OCI}.layer.v1.tar", layer) for layer in _layers(image)]
    record = {"schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json", "config": config, "layers": layers}
    manifest = _add(blobs, f"{_OCI}.manifest.v1+json", _json(record))
    return {**manifest, "platform": {"architecture": image.architecture, "os": "linux"}}


def _add(blobs: dict[str, bytes], media_type: str, data: bytes) -> dict[str, Any]:
    blobs[_hex(data)] = data
    return {"mediaType": media_type, "digest": f"sha256:{_hex(data)}", "size": len(data)}


def _config(image: Image) -> bytes:
    record = {
        "architecture": image.architecture,
        "os": "linux",
        "created": _CREATED,
        "config": {"Cmd": ["/hello"], "Labels": {"version": image.version}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_hex(layer)}" for layer in _layers(image)]},
        "history": [{"created": _CREATED, "created_by": "packrat demo"} for _ in image.layers],
    }
    return _json(record)


def _layers(image: Image) -> list[bytes]:
    return [tar(layer) for layer in image.layers]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
