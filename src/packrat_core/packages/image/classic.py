"""Reads the image of an archive as docker before 25 wrote it: `manifest.json` names a configuration and layers.

Source: Docker Image Specification 1.2; the archives of docker 1.10 to 28.
"""

from dataclasses import dataclass

from packrat_core.errors import Refused
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.config import read_architecture, read_diff_ids
from packrat_core.packages.image.manifest import CONFIG_LIMIT, MANIFEST_LIMIT, read_json, read_list
from packrat_core.packages.image.rules import check_config
from packrat_core.text import count_of

CLASSIC_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class ClassicLayer:
    """A layer: its name in the archive, and the digest of its plain bytes."""

    name: str
    diff_id: str


@dataclass(frozen=True, slots=True)
class ClassicImage:
    """An image as its archive describes it in `manifest.json`; it has no manifest yet."""

    config: bytes
    layers: tuple[ClassicLayer, ...]
    architecture: str


def read_classic(archive: ImageArchive) -> ClassicImage:
    """Read the image that `manifest.json` describes.

    Raises:
        Refused: it names no image or several, or something is unusable or not in the archive.
    """
    images = read_list(read_json(archive.read(CLASSIC_FILE, MANIFEST_LIMIT), CLASSIC_FILE), CLASSIC_FILE)
    if len(images) != 1 or not isinstance(images[0], dict):
        raise Refused(f"its {CLASSIC_FILE} names {len(images)} images", hint="save each into a file of its own")
    config_name = images[0].get("Config")
    if not isinstance(config_name, str):
        raise Refused(f"its {CLASSIC_FILE} names no configuration")
    config = archive.read(config_name, CONFIG_LIMIT)
    names = read_list(images[0].get("Layers") or [], "list of layers")
    diff_ids = read_diff_ids(config)
    check_config(config)
    if len(names) != len(diff_ids):
        raise Refused(f"it has {count_of(len(names), 'layer')}, its configuration names {len(diff_ids)}")
    for name in names:
        if not isinstance(name, str):
            raise Refused(f"its {CLASSIC_FILE} names a layer that is not text")
        archive.find(name)
    layers = tuple(ClassicLayer(name, diff_id) for name, diff_id in zip(names, diff_ids, strict=True))
    return ClassicImage(config, layers, read_architecture(config))
