"""Manifests: what clients could read as something else is refused, and what is written can be read."""

import json
from typing import Any

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.image.manifest import DESCRIPTORS_LIMIT, read_list, read_manifest, write_schema_2
from packrat_core.packages.image.referrers import describe_referrer
from support.odd_images import MANIFEST, OCI, as_json, config_of, described, digest, manifest_of

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


def test_what_is_written_names_its_configuration_and_layers() -> None:
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
def test_what_refers_to_an_image_is_described_with_its_annotations(annotations: object, listed: object) -> None:
    data = manifest_of(b"{}", subject=described(WEB, MANIFEST), annotations=annotations)
    found = describe_referrer(digest(data), "ocim", data)
    assert found is not None
    subject, record = found
    assert (subject, record["digest"], record["size"]) == (digest(WEB), digest(data), len(data))
    assert record.get("annotations") == listed
    assert describe_referrer(digest(WEB), "ocim", WEB) is None
