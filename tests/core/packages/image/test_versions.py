"""Which tags are versions, and what a tar has to have to be an image."""

from pathlib import Path

import pytest

from packrat_core.packages.image.inspect import is_image_archive
from packrat_core.packages.image.versions import TagVersion, latest_of, read_version
from packrat_demo.build_image import tar


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("1.2", TagVersion("", (1, 2), None)),
        ("v1.2.3", TagVersion("", (1, 2, 3), None)),
        ("release-1.2", TagVersion("release-", (1, 2), None)),
        ("1.2-alpine", TagVersion("", (1, 2), None)),
        ("1.2-alpine-rc", TagVersion("", (1, 2), ("rc", 0))),
        ("1.2-rc", TagVersion("", (1, 2), ("rc", 0))),
        ("1.2-rc3", TagVersion("", (1, 2), ("rc", 3))),
        ("1.2-rc-slim", TagVersion("", (1, 2), ("rc", 0))),
        ("1.2b1", TagVersion("", (1, 2), ("b", 1))),
        ("1.2-Beta2", TagVersion("", (1, 2), ("beta", 2))),
        ("stable", None),
        ("3f2a9c1", None),
        (f"sha256-{'0' * 64}.sig", None),
    ],
)
def test_tags_are_read_as_versions(tag: str, version: TagVersion | None) -> None:
    assert read_version(tag) == version


def test_the_latest_is_the_highest_release() -> None:
    assert latest_of(["1.9", "1.10", "1.11-rc1", "release-2", "stable", f"sha256-{'0' * 64}.sig"]) == "1.10"
    assert latest_of(["1.11-rc1", "1.11-rc", "stable"]) == "1.11-rc1"
    assert latest_of([f"sha256-{'0' * 64}.sig"]) is None


@pytest.mark.parametrize(
    ("names", "is_image"),
    [
        (["manifest.json"], True),
        (["index.json", "oci-layout"], True),
        (["index.json"], False),
        (["oci-layout"], False),
        (["README"], False),
    ],
)
def test_a_tar_is_an_image_by_the_names_of_its_members(tmp_path: Path, names: list[str], is_image: bool) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar([(name, b"[]" if name == "manifest.json" else b"{}") for name in names]))
    assert is_image_archive(path) is is_image
    path.write_bytes(b"no tar")
    assert is_image_archive(path) is False
