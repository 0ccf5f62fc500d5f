"""Tells image archives from other tar files, even if they are damaged.

Source: OCI Image Layout Specification 1.1; the archives of docker 1.10 to 28.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from packrat_core.archives.tar import TarReader
from packrat_core.archives.tar_header import BLOCK, parse_header
from packrat_core.archives.tar_source import FileSource, SectionSource
from packrat_core.errors import Refused
from packrat_core.packages.image.archive import LIMITS
from packrat_core.packages.image.classic import CLASSIC_FILE
from packrat_core.packages.image.layout import INDEX_FILE
from packrat_core.packages.image.manifest import MANIFEST_LIMIT

_LAYOUT_FILE = "oci-layout"


def is_image_archive(path: Path) -> bool:
    """Return whether a file is an image archive, as far as it can be read; it may be damaged or otherwise unusable."""
    try:
        with path.open("rb") as file:
            found = _find_members(file)
            if INDEX_FILE in found and _LAYOUT_FILE in found:
                return True
            return CLASSIC_FILE in found and not _is_object(SectionSource(file, *found[CLASSIC_FILE]))
    except OSError:
        return False


def _find_members(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """Map the names of members to where their bytes begin and how many they are, up to what can't be read."""
    found: dict[str, tuple[int, int]] = {}
    try:
        for member in TarReader(FileSource(file), LIMITS):
            found[member.name] = (member.offset, member.size)
    except Refused:
        # The one who reads the image says what is wrong with it. The reader stops at what is unsafe, too; the names
        # behind that stand in plain headers.
        found.update(_scan_headers(file))
    return found


def _scan_headers(file: BinaryIO) -> Iterator[tuple[str, tuple[int, int]]]:
    at = 0
    for _ in range(LIMITS.members):
        file.seek(at)
        block = file.read(BLOCK)
        if len(block) != BLOCK or not block.strip(b"\0"):
            return
        try:
            header = parse_header(block)
        except Refused:
            return
        yield header.name.decode("utf-8", "replace").removeprefix("./"), (at + BLOCK, header.size)
        at += BLOCK + header.size + -header.size % BLOCK


def _is_object(source: SectionSource) -> bool:
    """Return whether a file is a JSON object, as the manifest.json of a web application; that of docker is a list."""
    try:
        return isinstance(json.loads(source.read(MANIFEST_LIMIT)), dict)
    except (ValueError, RecursionError):
        return False
