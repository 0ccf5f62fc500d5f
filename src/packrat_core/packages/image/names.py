"""Checks the names of images and tags, and reads both out of the name of an image's file.

    split_file_name("my_app_1.0.tar")  # ("my_app", "1.0")

1. `<image>~<tag>.tar` says where the tag begins.
2. In `<image>_<tag>.tar` the tag begins after the first `_` that a version follows: a digit, `v` and a digit, or
   `sha256-`, with which the tags of signatures begin. If no version follows any, the tag begins after the last `_`.

Source: OCI Distribution Specification 1.1, "Pulling manifests"; github.com/distribution/reference, grammar.
"""

import re

from packrat_core.errors import Refused

IMAGE = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
"""One component of an image's name."""
TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
NAME_LIMIT = 128
GREETING = "index.html"
"""A file beside the images' directories: what web servers answer to a client that asks for the registry itself."""

_IMAGE = re.compile(IMAGE)
_TAG = re.compile(TAG)
_END = ".tar"
_BEFORE_VERSION = re.compile(r"(?<=.)_(?=[0-9]|[vV][0-9]|sha256-)")


def check_image(name: str) -> str:
    """Return the name of an image, checked.

    Raises:
        Refused: registries do not allow the name, or a file of the registry has it.
    """
    if "/" in name:
        raise Refused(
            f"an image can't be called {name[:200]!r}: no slash; call it {name.replace('/', '-')[:200]!r}, or let the "
            "directory of the repository end with what is before the slash"
        )
    if len(name) > NAME_LIMIT or not _IMAGE.fullmatch(name):
        raise Refused(
            f"an image can't be called {name[:200]!r}: lower-case letters and digits, with single . _ - between them"
        )
    if name == GREETING:
        raise Refused(f"an image can't be called {name!r}: the registry has a file of that name")
    return name


def check_tag(version: str) -> str:
    """Return a version, checked to be a valid tag.

    Raises:
        Refused: the version can't be a tag.
    """
    if not _TAG.fullmatch(version):
        raise Refused(
            f"its version {version[:200]!r} can't be a tag: up to 128 letters, digits, _ . -, the first not . or -"
        )
    return version


def split_file_name(name: str) -> tuple[str, str]:
    """Return the image and the tag that a file name names, both checked.

    Raises:
        Refused: the name has no tag, or one that registries do not allow, or such a name of an image.
    """
    stem = name.removesuffix(_END)
    if stem == name:
        raise Refused(f"an image's file is called <image>_<version>{_END}, not {name[:200]!r}; unpack compressed ones")
    image, separator, tag = stem.partition("~")
    if not separator:
        match = _BEFORE_VERSION.search(stem)
        at = match.start() if match is not None else stem.rfind("_")
        image, tag = (stem[:at], stem[at + 1 :]) if at > 0 else (stem, "")
    if not tag:
        raise Refused(f"its name has no version: call it <image>_<version>{_END}")
    return check_image(image), check_tag(tag)


def join_file_name(image: str, tag: str) -> str:
    """Return the name of an image's file that `split_file_name` reads as this image and tag.

    Raises:
        Refused: registries do not allow the name or the tag.
    """
    usual = f"{check_image(image)}_{check_tag(tag)}{_END}"
    try:
        is_clear = split_file_name(usual) == (image, tag)
    except Refused:
        is_clear = False
    return usual if is_clear else f"{image}~{tag}{_END}"
