"""Fuzz targets: image archives, and the manifests and configurations in them."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.image.config import read_architecture, read_diff_ids
from packrat_core.packages.image.manifest import MANIFEST_TYPES, read_manifest
from packrat_core.packages.image.names import split_file_name
from packrat_core.packages.image.referrers import describe_referrer
from packrat_core.packages.image.versions import latest_of, read_version
from packrat_demo.build_image import tar
from support.fuzz.engine import Target
from support.fuzz.packages import PackageReader
from support.image_archives import LAYER, MANIFEST, PLAIN, as_json, config_of, described, digest, layout, manifest_of
from support.odd_images import sound_images

_TAGS = st.text("0123456789abcrv.-_+", max_size=20).map(str.encode)


@contextmanager
def image_targets(directory: Path) -> Iterator[list[Target]]:
    """The readers of images."""
    read = PackageReader(directory, "docker", "web_1.0.tar")
    archives = [image for image in sound_images().values() if len(image) < 200_000]
    config = config_of([digest(LAYER)])
    manifest = manifest_of(config, (LAYER, PLAIN), annotations={"a": "b"}, subject=described(config, MANIFEST))
    index = as_json(
        {"schemaVersion": 2, "mediaType": next(iter(MANIFEST_TYPES)), "manifests": [described(manifest, MANIFEST)]}
    )
    classic = as_json([{"Config": "config.json", "RepoTags": ["web:1.0"], "Layers": ["a/layer.tar"]}])
    yield [
        Target("images.archive", archives, read),
        Target("images.manifest", [manifest], lambda data: read(_around_manifest(data))),
        Target("images.manifest_alone", [manifest, index], _read_manifest),
        Target(
            "images.index",
            _members_of(archives, "index.json"),
            lambda data: read(_with(archives[0], "index.json", data)),
        ),
        Target("images.config", [config], lambda data: read(_around_config(data))),
        Target("images.classic", [classic], lambda data: read(_classic(data))),
        Target(
            "images.name",
            [b"web_1.2.tar", b"a--b_v1.0-rc1.tar"],
            _read_name,
            _TAGS.map(lambda tag: b"web_" + tag + b".tar"),
        ),
    ]


def _around_manifest(data: bytes) -> bytes:
    """An archive whose image has this manifest; all digests are right."""
    config = config_of([digest(LAYER)])
    sound = manifest_of(config, (LAYER, PLAIN))
    return layout(described(data, MANIFEST), blobs=[data, config, LAYER, sound])


def _around_config(data: bytes) -> bytes:
    """An archive whose image has this configuration; all digests are right."""
    _read_config(data)
    manifest = manifest_of(data, (LAYER, PLAIN))
    return layout(described(manifest, MANIFEST), blobs=[data, LAYER, manifest])


def _read_config(data: bytes) -> None:
    """Read a configuration alone."""
    read_architecture(data)
    read_diff_ids(data)


def _classic(data: bytes) -> bytes:
    config = config_of([digest(LAYER)])
    return tar([("config.json", config), ("a/layer.tar", LAYER), ("manifest.json", data)])


def _read_manifest(data: bytes) -> None:
    for media_type, end in MANIFEST_TYPES.items():
        with suppress(Refused):
            read_manifest(data, media_type)
            describe_referrer(digest(data), end, data)


def _read_name(data: bytes) -> None:
    _, tag = split_file_name(data.decode("utf-8", "replace"))
    read_version(tag)
    latest_of([tag, "1.0", tag[::-1]])


def _members_of(archives: list[bytes], name: str) -> list[bytes]:
    found = []
    for archive in archives:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            if name in opened.getnames() and (member := opened.extractfile(name)) is not None:
                found.append(member.read())
    return found


def _with(archive: bytes, name: str, data: bytes) -> bytes:
    """The archive with other bytes under one name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files: list[tuple[str, bytes | str]] = [
            (info.name, member.read()) for info in opened if (member := opened.extractfile(info)) is not None
        ]
    return tar([(path, data if path == name else content) for path, content in files])
