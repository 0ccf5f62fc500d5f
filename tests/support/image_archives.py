"""Builds image archives of any descriptors, manifests and layers, right or wrong."""

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from packrat_demo.build_image import tar

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
MANIFEST = f"{OCI}.manifest.v1+json"
PLAIN = f"{OCI}.layer.v1.tar"
LAYER = tar([("hello", b"hello\n" * 500)])
OTHER_LAYER = tar([("other", b"other\n" * 500)])
Files = list[tuple[str, bytes | str]]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob(data: bytes) -> tuple[str, bytes | str]:
    return f"blobs/{digest(data).replace(':', '/')}", data


def described(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def config_of(diff_ids: Sequence[object], **more: Any) -> bytes:
    return as_json(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": list(diff_ids)}, **more}
    )


def manifest_of(config: bytes, *layers: tuple[bytes, str], **more: Any) -> bytes:
    record = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(config, f"{OCI}.config.v1+json"),
        "layers": [described(data, media_type) for data, media_type in layers],
    }
    return as_json({**record, **more})


def layout(*tops: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """An archive whose index.json has these descriptors."""
    files: Files = [blob(data) for data in dict.fromkeys(blobs)]
    files.append(("index.json", as_json({"schemaVersion": 2, "manifests": list(tops)})))
    files.append(("oci-layout", as_json({"imageLayoutVersion": "1.0.0"})))
    return tar(files)


def oci(layer: bytes = LAYER, ending: str = "", diff_id: object = digest(LAYER), **more: Any) -> bytes:
    """An OCI archive of one layer."""
    config = config_of([diff_id])
    manifest = manifest_of(config, (layer, f"{OCI}.layer.v1.tar{ending}"), **more)
    return layout(described(manifest, MANIFEST), blobs=[config, layer, manifest])


def classic(layer: bytes = LAYER, diff_ids: object = (digest(LAYER),), **more: Any) -> bytes:
    """An archive as docker before 25 writes it, of one layer."""
    config = as_json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    listed = {"Config": "config.json", "RepoTags": ["web:1.0"], "Layers": ["a/layer.tar"], **more}
    return tar([("config.json", config), ("a/layer.tar", layer), ("manifest.json", as_json([listed]))])


def tar_member(name: str, kind: bytes, data: bytes = b"", target: str = "") -> bytes:
    """One member of a tar archive as its bytes, also of kinds that tarfile itself does not write."""
    header = tarfile.TarInfo(name)
    header.type, header.size, header.linkname = kind, len(data), target
    return header.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)
