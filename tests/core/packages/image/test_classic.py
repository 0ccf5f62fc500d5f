"""What `manifest.json` of an image archive must say; what docker can't load is refused with its reason."""

import io
from typing import Any

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.classic import ClassicLayer, read_classic
from packrat_demo.build_image import tar
from support.image_archives import LAYER, OTHER_LAYER, as_json, classic, config_of, digest


def archive_of(manifest: object, config: bytes, **layers: bytes) -> bytes:
    members = [("config.json", config), *layers.items(), ("manifest.json", as_json(manifest))]
    return tar(members)


def listed(**more: object) -> list[dict[str, Any]]:
    return [{"Config": "config.json", "RepoTags": ["web:1.0"], "Layers": ["a", "b"], **more}]


CONFIG = config_of([digest(LAYER), digest(OTHER_LAYER)])
SOUND = archive_of(listed(), CONFIG, a=LAYER, b=OTHER_LAYER)


def test_layers_and_their_digests_belong_together_in_order() -> None:
    image = read_classic(ImageArchive(io.BytesIO(SOUND)))
    assert image.layers == (ClassicLayer("a", digest(LAYER)), ClassicLayer("b", digest(OTHER_LAYER)))
    assert (image.config, image.architecture) == (CONFIG, "amd64")


BAD = {
    "an object": (archive_of(listed()[0], CONFIG), "its manifest.json is not a list"),
    "no image": (archive_of([], CONFIG), "names 0 images; save each into a file of its own"),
    "two images": (archive_of(listed() * 2, CONFIG, a=LAYER, b=LAYER), "names 2 images"),
    "an image that is text": (archive_of(["web"], CONFIG), "names 1 images"),
    "no configuration": (archive_of(listed(Config=None), CONFIG), "names no configuration"),
    "another configuration": (archive_of(listed(Config="x"), CONFIG), "it has no x"),
    "a layer too many": (archive_of(listed(Layers=["a", "b", "a"]), CONFIG, a=LAYER, b=LAYER), "it has 3 layers"),
    "a layer that is a number": (archive_of(listed(Layers=["a", 1]), CONFIG, a=LAYER), "a layer that is not text"),
    "a layer that lacks": (archive_of(listed(), CONFIG, a=LAYER), "it has no b"),
    "a layer that is a directory": (archive_of(listed(Layers=["a", "."]), CONFIG, a=LAYER), "it has no ."),
    "a digest that is none": (classic(diff_ids=["sha256:1"]), "names the layer 'sha256:1', which is not a SHA-256"),
    "a digest that is a number": (classic(diff_ids=[1]), "names the layer 1, which is not a SHA-256"),
    "a configuration that clients don't read": (
        archive_of(listed(), CONFIG[:-1] + b', "os": 1}', a=LAYER, b=LAYER),
        "the key 'os' twice",
    ),
    "no JSON": (tar([("manifest.json", b"[")]), "its manifest.json is not JSON"),
    "JSON that is too deep": (tar([("manifest.json", b"[" * 100_000)]), "its manifest.json is not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_archives_that_docker_cannot_load_are_refused(name: str) -> None:
    archive, told = BAD[name]
    with pytest.raises(Refused) as caught:
        read_classic(ImageArchive(io.BytesIO(archive)))
    assert told in str(caught.value)
