"""Which manifest of an OCI layout is the image, and what is about it."""

import io
import json
from typing import Any

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.image import layout as layout_module
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.layout import LayoutImage, read_layout
from packrat_core.packages.image.payload import read_image
from support.image_archives import (
    LAYER,
    MANIFEST,
    OCI,
    OTHER_LAYER,
    PLAIN,
    as_json,
    config_of,
    described,
    digest,
    layout,
    manifest_of,
)
from support.odd_images import attested, saved_by_cosign, with_artifact

CONFIG = config_of([digest(LAYER)])
WEB, OTHER = manifest_of(CONFIG, (LAYER, PLAIN)), manifest_of(CONFIG, (LAYER, PLAIN), annotations={"a": "b"})
INDEX = as_json({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [described(WEB, MANIFEST)]})
BLOBS = [CONFIG, LAYER, WEB, OTHER, INDEX]


def read(archive: bytes) -> LayoutImage:
    return read_layout(ImageArchive(io.BytesIO(archive)))


def named(data: bytes, media_type: str, name: str) -> dict[str, Any]:
    return described(data, media_type, annotations={"org.opencontainers.image.ref.name": name})


@pytest.mark.parametrize("in_index", [True, False])
def test_an_artifact_is_found_in_the_index_and_by_the_fallback_tag(in_index: bool) -> None:
    image = read(with_artifact(in_index=in_index))
    assert len(image.manifests) == len(image.artifacts) == 1
    [(_, about)] = image.artifacts.values()
    assert image.top.encode() in about


def test_the_manifests_of_an_index_may_stand_beside_it() -> None:
    top = named(INDEX, f"{OCI}.index.v1+json", "1.0")
    image = read(layout(top, described(WEB, MANIFEST), blobs=BLOBS))
    assert image.top == digest(INDEX)
    assert set(image.manifests) == {digest(INDEX), digest(WEB)}
    with pytest.raises(Refused, match="it holds 2 images"):
        read(layout(top, described(OTHER, MANIFEST), blobs=BLOBS))
    with pytest.raises(Refused, match="it holds 2 images"):
        read(layout(top, named(WEB, MANIFEST, "2.0"), blobs=BLOBS))


@pytest.mark.parametrize("name", ["", "1.0"])
def test_an_index_keeps_its_digest_beside_its_manifests_of_the_same_name_or_none(name: str) -> None:
    """`oras copy HOST/web@sha256:…` lists an index and the images in it, all without a name."""

    def entry(data: bytes, kind: str) -> dict[str, Any]:
        return named(data, kind, name) if name else described(data, kind)

    kind = f"{OCI}.index.v1+json"
    images = [described(WEB, MANIFEST), described(OTHER, MANIFEST)]
    index = as_json({"schemaVersion": 2, "mediaType": kind, "manifests": images})
    entries = [entry(WEB, MANIFEST), entry(index, kind), entry(OTHER, MANIFEST)]
    image = read(layout(*entries, blobs=[*BLOBS, index]))
    assert image.top == digest(index)
    assert set(image.manifests) == {digest(index), digest(WEB), digest(OTHER)}
    outer = as_json({"schemaVersion": 2, "mediaType": kind, "manifests": [described(index, kind)]})
    image = read(layout(*entries, entry(outer, kind), blobs=[*BLOBS, index, outer]))
    assert image.top == digest(outer)


def test_images_beside_an_index_may_be_named_by_an_inner_one_alone() -> None:
    kind = f"{OCI}.index.v1+json"
    outer = as_json({"schemaVersion": 2, "mediaType": kind, "manifests": [described(INDEX, kind)]})
    entries = [named(outer, kind, "1.0"), described(WEB, MANIFEST)]
    assert read(layout(*entries, blobs=[*BLOBS, outer])).top == digest(outer)


def test_several_images_are_counted_without_their_parts() -> None:
    """As `oras backup HOST/web:1.0,2.0` makes them."""
    kind = f"{OCI}.index.v1+json"
    entries = [named(INDEX, kind, "1.0"), named(OTHER, MANIFEST, "2.0"), described(WEB, MANIFEST)]
    with pytest.raises(Refused, match="it holds 2 images"):
        read(layout(*entries, blobs=BLOBS))


def test_an_image_keeps_its_digest_beside_a_signature_of_cosign() -> None:
    """cosign asks for the signature of the digest to which the tag leads."""
    image = read(saved_by_cosign())
    assert (image.top, set(image.manifests), image.artifacts) == (digest(WEB), {digest(WEB)}, {})


def test_attestations_of_buildkit_are_not_an_architecture() -> None:
    image = read(attested())
    assert len(image.manifests) == 3
    assert image.architectures == {"amd64"}


def test_a_platform_whose_layer_is_not_in_the_archive_is_left_out() -> None:
    other = manifest_of(CONFIG, (OTHER_LAYER, PLAIN))
    tops = [described(WEB, MANIFEST), described(other, MANIFEST)]
    index = as_json({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": tops})
    image = read(layout(described(index, f"{OCI}.index.v1+json"), blobs=[*BLOBS, other, index]))
    assert set(image.manifests) - {image.top} == {digest(WEB)}
    assert set(image.blobs) == {digest(CONFIG), digest(LAYER)}


def test_the_index_of_several_platforms_is_taken_as_it_is_unless_an_artifact_stands_in_it() -> None:
    tops = [described(WEB, MANIFEST), described(OTHER, MANIFEST)]
    archive = layout(*tops, blobs=BLOBS)
    index = as_json({"schemaVersion": 2, "manifests": tops})
    assert index in archive
    assert read(archive).top == digest(index)
    about = manifest_of(b"{}", subject=tops[0])
    image = read(layout(*tops, described(about, MANIFEST), blobs=[*BLOBS, b"{}", about]))
    assert set(image.artifacts) == {digest(about)}
    assert digest(about).encode() not in image.manifests[image.top][1]


def test_a_manifest_that_is_named_many_times_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of names would keep a processor busy for an hour."""
    about = manifest_of(CONFIG, (LAYER, PLAIN), subject=described(WEB, MANIFEST))
    listed = as_json({**json.loads(INDEX), "manifests": [described(about, MANIFEST)] * 900})
    fallback = named(listed, f"{OCI}.index.v1+json", f"sha256-{'0' * 64}")
    archive = layout(described(WEB, MANIFEST), *[fallback] * 900, blobs=[*BLOBS, about, listed])
    opened: list[str] = []
    read_any = ImageArchive.read

    def read_counted(archive: ImageArchive, name: str, limit: int) -> bytes:
        opened.append(name)
        return read_any(archive, name, limit)

    monkeypatch.setattr(ImageArchive, "read", read_counted)
    image = read(archive)
    assert set(image.manifests) == {digest(WEB)}
    assert set(image.artifacts) == {digest(about)}
    assert len(opened) < 10


def test_manifests_are_counted_wherever_they_are_named() -> None:
    listed = [described(as_json({"a": number}), MANIFEST) for number in range(201)]
    with pytest.raises(Refused, match="it has more than 200 manifests"):
        read(layout(*listed, blobs=BLOBS))
    index = as_json({**json.loads(INDEX), "manifests": listed})
    with pytest.raises(Refused, match="it has more than 200 manifests"):
        read(layout(described(index, f"{OCI}.index.v1+json"), blobs=[index]))


def test_a_configuration_that_many_manifests_name_has_a_limit() -> None:
    large = config_of([digest(LAYER)], x="x" * 8_000_000)
    manifests = [manifest_of(large, (LAYER, PLAIN), annotations={"a": str(number)}) for number in range(9)]
    for count, is_read in ((8, True), (9, False)):
        index = as_json(
            {**json.loads(INDEX), "manifests": [described(manifest, MANIFEST) for manifest in manifests[:count]]}
        )
        archive = layout(described(index, f"{OCI}.index.v1+json"), blobs=[large, LAYER, index, *manifests])
        if is_read:
            assert len(read(archive).manifests) == 9
        else:
            with pytest.raises(Refused, match="its configurations have more than 67108864 bytes"):
                read(archive)


def test_indexes_that_name_the_same_again_and_again_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "_PARTS_LIMIT", 50)
    inner, blobs = [described(WEB, MANIFEST), described(OTHER, MANIFEST)], list(BLOBS)
    for level in range(3):
        indexes = [
            as_json({**json.loads(INDEX), "manifests": inner, "annotations": {"n": f"{level} {number}"}})
            for number in range(4)
        ]
        inner = [described(index, f"{OCI}.index.v1+json") for index in indexes]
        blobs += indexes
    with pytest.raises(Refused, match="name too much"):
        read(layout(inner[0], blobs=blobs))
    assert len(read(layout(json.loads(indexes[0])["manifests"][0], blobs=blobs)).manifests) == 7


def index_of(*children: bytes, media_type: str = MANIFEST, **more: Any) -> bytes:
    """An index of manifests, or of indexes."""
    return as_json({**json.loads(INDEX), "manifests": [described(child, media_type) for child in children], **more})


def of_index(index: bytes, *blobs: bytes) -> bytes:
    """An archive with an index as its image."""
    return layout(described(index, f"{OCI}.index.v1+json"), blobs=[index, *blobs])


@pytest.mark.parametrize(("levels", "is_read"), [(4, True), (5, False)])
def test_indexes_may_be_nested_so_deeply_and_no_deeper(levels: int, is_read: bool) -> None:
    indexes = [INDEX]
    while len(indexes) < levels:
        indexes.append(index_of(indexes[-1], media_type=f"{OCI}.index.v1+json"))
    archive = of_index(indexes[-1], *BLOBS, *indexes)
    if is_read:
        assert len(read(archive).manifests) == levels + 1
    else:
        with pytest.raises(Refused, match="its indexes are nested more than 4 deep"):
            read(archive)


def test_as_many_manifests_as_the_limit_are_read() -> None:
    manifests = [manifest_of(CONFIG, (LAYER, PLAIN), annotations={"n": str(number)}) for number in range(201)]
    assert len(read(of_index(index_of(*manifests[:200]), *BLOBS, *manifests)).manifests) == 201
    halves = [index_of(*half) for half in (manifests[:100], manifests[100:])]
    with pytest.raises(Refused, match="it has more than 200 manifests"):
        read(of_index(index_of(*halves, media_type=f"{OCI}.index.v1+json"), *BLOBS, *halves, *manifests))


def test_the_layers_of_each_platform_are_held_against_its_configuration() -> None:
    """The digests of the plain layers come up through an index, or nobody would check them."""
    assert read(of_index(INDEX, *BLOBS)).diff_ids == {(digest(LAYER), digest(LAYER))}
    config = config_of([digest(OTHER_LAYER)])
    wrong = manifest_of(config, (LAYER, PLAIN))
    both = index_of(WEB, wrong)
    with pytest.raises(Refused, match="are not those that its configuration names"):
        read_image(ImageArchive(io.BytesIO(of_index(both, *BLOBS, config, wrong))))


def test_an_archive_without_an_image_is_refused() -> None:
    with pytest.raises(Refused, match=r"its index\.json names no image"):
        read(layout(blobs=BLOBS))
    abouts = [manifest_of(CONFIG, (LAYER, PLAIN), subject=described(top, MANIFEST)) for top in (WEB, OTHER)]
    with pytest.raises(Refused, match="it holds 2 artifacts and no image"):
        read(layout(*(described(about, MANIFEST) for about in abouts), blobs=[*BLOBS, *abouts]))
    # One alone counts as an image: it gets the tag of its file.
    assert read(layout(described(abouts[0], MANIFEST), blobs=[*BLOBS, *abouts])).top == digest(abouts[0])


def test_an_index_whose_images_are_all_elsewhere_is_refused() -> None:
    lacking = manifest_of(CONFIG, (OTHER_LAYER, PLAIN))
    with pytest.raises(Refused, match="names no image that is in the archive"):
        read(of_index(index_of(lacking), *BLOBS, lacking))
    # Without it, the inner index would be another one than the outer one names.
    inner = index_of(WEB, lacking)
    outer = index_of(inner, media_type=f"{OCI}.index.v1+json")
    with pytest.raises(Refused, match="an index in its index names images that are not in the archive"):
        read(of_index(outer, *BLOBS, inner, lacking))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_layer_that_clients_fetch_elsewhere_may_lack_and_is_checked_where_it_is_there(is_there: bool) -> None:
    foreign = {**described(OTHER_LAYER, PLAIN), "urls": ["https://example.com/layer"]}
    config = config_of([digest(LAYER), digest(OTHER_LAYER)])
    manifest = as_json({**json.loads(manifest_of(config)), "layers": [described(LAYER, PLAIN), foreign]})
    blobs = [config, LAYER, manifest, *[OTHER_LAYER] * is_there]
    image = read(layout(described(manifest, MANIFEST), blobs=blobs))
    assert set(image.blobs) == {digest(blob) for blob in blobs} - {digest(manifest)}
    if is_there:
        of_another_size = {**foreign, "size": 1}
        manifest = as_json({**json.loads(manifest), "layers": [described(LAYER, PLAIN), of_another_size]})
        with pytest.raises(Refused, match="are not those that its manifest names"):
            read(layout(described(manifest, MANIFEST), blobs=[*blobs, manifest]))
