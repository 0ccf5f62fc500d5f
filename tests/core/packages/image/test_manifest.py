"""Manifests: what clients could read as something else is refused, and what is written can be read."""

import json
import re
from typing import Any

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.image.manifest import DESCRIPTORS_LIMIT, read_list, read_manifest, write_schema_2
from packrat_core.packages.image.referrers import describe_referrer
from support.image_archives import MANIFEST, OCI, as_json, config_of, described, digest, manifest_of

INDEX = f"{OCI}.index.v1+json"
WEB = manifest_of(config_of([]))


def index_of(**more: Any) -> bytes:
    return as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [described(WEB, MANIFEST)], **more})


@pytest.mark.parametrize("more", [{"layers": []}, {"config": described(b"{}", "x")}, {"layers": [], "config": None}])
def test_an_index_that_is_an_image_too_is_refused(more: dict[str, Any]) -> None:
    assert read_manifest(index_of(), INDEX).is_index
    with pytest.raises(Refused, match="an index and an image at once"):
        read_manifest(index_of(**more), INDEX)


def test_an_image_that_is_an_index_too_is_refused() -> None:
    assert not read_manifest(WEB, MANIFEST).is_index
    with pytest.raises(Refused, match="an index and an image at once"):
        read_manifest(as_json({**json.loads(WEB), "manifests": []}), MANIFEST)


def test_a_list_has_a_limit() -> None:
    assert len(read_list([{}] * DESCRIPTORS_LIMIT, "list of layers")) == DESCRIPTORS_LIMIT
    with pytest.raises(Refused, match=f"its list of layers has {DESCRIPTORS_LIMIT + 1} items, the limit is"):
        read_list([{}] * (DESCRIPTORS_LIMIT + 1), "list of layers")


def image_with(place: str, descriptor: object) -> bytes:
    """An image or index with a descriptor in a place of it."""
    if place == "manifests":
        return index_of(manifests=[descriptor])
    return as_json({**json.loads(WEB), place: [descriptor] if place == "layers" else descriptor})


_DIGEST = digest(b"layer")
_NO_DIGESTS: tuple[object, ...] = (
    *("", "sha256:", _DIGEST[:-1], f"{_DIGEST}0", _DIGEST.upper(), f" {_DIGEST}", f"{_DIGEST}\n", f"sha512:{'0' * 64}"),
    *(f"sha256:{path:0<64}" for path in ("../../../etc/", "/", "a/../")),
    *(None, 5, [_DIGEST]),
)
_NO_SIZES: tuple[object, ...] = (-1, True, 1.0, "1", None, [])
_WRONG: list[tuple[str, object, str]] = [
    *(("digest", wrong, "which is not a SHA-256") for wrong in _NO_DIGESTS),
    *(("size", wrong, f"has the size {wrong!r} for") for wrong in _NO_SIZES),
    ("mediaType", 5, "has no media type for"),
]


@pytest.mark.parametrize("place", ["config", "layers", "manifests", "subject"])
@pytest.mark.parametrize(("key", "wrong", "said"), _WRONG)
def test_a_descriptor_that_is_wrong_is_refused_wherever_it_stands(
    place: str, key: str, wrong: object, said: str
) -> None:
    sound: dict[str, object] = {"mediaType": "x", "size": 0, "digest": _DIGEST}
    assert read_manifest(image_with(place, sound), "").is_index is (place == "manifests")
    with pytest.raises(Refused, match=re.escape(said)):
        read_manifest(image_with(place, {**sound, key: wrong}), "")


@pytest.mark.parametrize("place", ["config", "layers", "manifests", "subject"])
@pytest.mark.parametrize("wrong", ["", _DIGEST, 5, [], True])
def test_malformed_descriptors_are_refused(place: str, wrong: object) -> None:
    with pytest.raises(Refused, match="has no descriptor"):
        read_manifest(image_with(place, wrong), "")


@pytest.mark.parametrize("version", [None, 1, 3, "2", True, [2]])
@pytest.mark.parametrize("data", [index_of(), WEB])
def test_another_schema_version_is_refused(data: bytes, version: object) -> None:
    with pytest.raises(Refused, match="not of schema version 2"):
        read_manifest(as_json({**json.loads(data), "schemaVersion": version}), "")


@pytest.mark.parametrize(
    ("says", "called", "said"),
    [
        ("text/html", "", "is of type 'text/html'"),
        ("", "", "is of type ''"),
        (None, "text/html", "is of type 'text/html'"),
        (5, INDEX, "is of type 5"),
        ([INDEX], INDEX, "is of type ["),
        (MANIFEST, INDEX, f"calls itself {MANIFEST}, and is called {INDEX}"),
    ],
)
def test_another_type_is_refused(says: object, called: str, said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        read_manifest(as_json({**json.loads(WEB), "mediaType": says}), called)


def test_a_type_that_it_leaves_out_is_that_of_its_descriptor() -> None:
    assert read_manifest(as_json({**json.loads(WEB), "mediaType": None}), MANIFEST) == read_manifest(WEB, "")


def test_a_written_manifest_names_its_configuration_and_layers() -> None:
    manifest = read_manifest(write_schema_2(("1" * 64, 11), [("2" * 64, 22), ("3" * 64, 33)]), "")
    assert manifest.config is not None
    parts = [(part.digest, part.size) for part in (manifest.config, *manifest.layers)]
    assert parts == [(f"sha256:{letter * 64}", int(letter * 2)) for letter in "123"]


@pytest.mark.parametrize(
    ("annotations", "listed"),
    [
        ({"b": 2, "a": "1"}, {"a": "1", "b": "2"}),
        ({"a": None}, {"a": ""}),
        (None, None),
        ({}, None),
        ([], None),
        (["a"], None),
        ("a", None),
        (7, None),
    ],
)
def test_referrers_of_an_image_are_described_with_their_annotations(annotations: object, listed: object) -> None:
    data = manifest_of(b"{}", subject=described(WEB, MANIFEST), annotations=annotations)
    found = describe_referrer(digest(data), "ocim", data)
    assert found is not None
    subject, record = found
    assert (subject, record["digest"], record["size"]) == (digest(WEB), digest(data), len(data))
    assert record.get("annotations") == listed
    assert describe_referrer(digest(WEB), "ocim", WEB) is None
