"""Finds and reads the metadata of a wheel or source distribution, trusting nothing in the file.

Source: Binary distribution format (PEP 427), Source distribution format (PEP 643, 625).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from packrat_core.archives.gzip_stream import GZIP_MAGIC, GzipStream
from packrat_core.archives.tar import TarReader, refuse_unsafe
from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.archives.zip_directory import ZipMember
from packrat_core.errors import Refused
from packrat_core.packages.python.metadata import CoreMetadata, read_metadata

METADATA_LIMIT = 4 * 1024 * 1024
"""Bytes of METADATA or PKG-INFO; real ones have some kilobytes."""

_BUFFER_BYTES = 16 * 1024

SDIST_ENDINGS = (".tar.gz", ".zip")

_WHEEL_METADATA = re.compile(r"([^/]+)\.dist-info/METADATA")
_SDIST_METADATA = re.compile(r"[^/]+/PKG-INFO")


class Kind(StrEnum):
    """What a Python distribution file is."""

    WHEEL = "wheel"
    SDIST = "sdist"


class NoDistribution(Refused):
    """The file is sound but not a Python distribution, as it contains no metadata."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution; `content` holds the bytes of METADATA or PKG-INFO, `core` the fields read from it."""

    kind: Kind
    content: bytes
    core: CoreMetadata


def read_distribution(path: Path) -> Distribution:
    """Read a wheel or source distribution, judging by its content and not by its name.

    Raises:
        NoDistribution: the file is something else.
        Refused: the file is torn, or could harm or mislead a client.
    """
    # Small members lie close together, so one read into a buffer of this size fetches several of their headers.
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] == GZIP_MAGIC:
            return _from_tar(file)
        if start == b"PK\3\4":
            return _from_zip(file)
    raise NoDistribution("it is neither a zip archive nor a .tar.gz: no wheel and no source distribution")


def check_file_name(file_name: str, kind: str, name: str, version: str) -> None:
    """Check a file's name against its metadata, as clients choose files by their names.

    Args:
        file_name: the name of the file.
        kind: a value of `Kind`.
        name: the project's name in the metadata, in any spelling.
        version: the version in the metadata.

    Raises:
        Refused: they differ, or the file name is invalid.
    """
    project, inside = canonicalize_name(name), Version(version)
    if file_name.endswith(".whl") != (kind == Kind.WHEEL):
        raise Refused(f"it is called {file_name}, but inside it is a {kind}")
    try:
        found = parse_wheel_filename(file_name)[:2] if kind == Kind.WHEEL else _parse_sdist_name(file_name, project)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion, ValueError) as error:
        raise Refused(f"its file name can't be used: {error}") from None
    if found != (project, inside):
        raise Refused(f"its file name says {found[0]} {found[1]}, its metadata {project} {inside}")


def _parse_sdist_name(file_name: str, project: str) -> tuple[str, Version]:
    """Split at the dash after the project's name, since a version may contain dashes too: 1.0-1."""
    ending = next((known for known in SDIST_ENDINGS if file_name.endswith(known)), None)
    if ending is None:
        raise InvalidSdistFilename(f"{file_name} ends neither with .tar.gz nor with .zip")
    stem = file_name.removesuffix(ending)
    for at, letter in enumerate(stem):
        if letter == "-" and canonicalize_name(stem[:at]) == project:
            return project, Version(stem[at + 1 :])
    # The name is of another project: split at the last dash, so that the caller can report both names.
    name, dash, version = stem.rpartition("-")
    if not dash:
        raise InvalidSdistFilename(f"{file_name} has no version")
    return canonicalize_name(name), Version(version)


def _from_tar(file: BinaryIO) -> Distribution:
    archive = TarReader(GzipStream(file))
    found: bytes | None = None
    for member in archive:
        refuse_unsafe(member)
        if not _SDIST_METADATA.fullmatch(member.name):
            continue
        if not member.is_file:
            raise Refused(f"its {member.name} is a link or directory, no file")
        if found is not None:
            raise Refused("it has more than one PKG-INFO at its top")
        found = archive.read(METADATA_LIMIT)
    if found is None:
        raise NoDistribution("it has no PKG-INFO: it is not a source distribution")
    return Distribution(Kind.SDIST, found, read_metadata(found))


def _from_zip(file: BinaryIO) -> Distribution:
    archive = ZipArchive(file)
    # Few names end like this, and the test is cheaper than a regular expression on every name.
    named = [member for member in archive.members if member.name.endswith(("/METADATA", "/PKG-INFO"))]
    wheels = [member for member in named if _WHEEL_METADATA.fullmatch(member.name)]
    if wheels:
        content = archive.read(_only(wheels), METADATA_LIMIT)
        core = read_metadata(content)
        _check_info_directory(wheels[0].name, core)
        return Distribution(Kind.WHEEL, content, core)
    sdists = [member for member in named if _SDIST_METADATA.fullmatch(member.name)]
    if sdists:
        content = archive.read(_only(sdists), METADATA_LIMIT)
        return Distribution(Kind.SDIST, content, read_metadata(content))
    raise NoDistribution("it has neither .dist-info/METADATA nor PKG-INFO: it is not a Python distribution")


def _only(found: list[ZipMember]) -> ZipMember:
    if len(found) > 1:
        raise Refused(f"it has more than one metadata file: {found[0].name}, {found[1].name}")
    return found[0]


def _check_info_directory(member: str, core: CoreMetadata) -> None:
    match = _WHEEL_METADATA.fullmatch(member)
    name = match[1].rpartition("-")[0] if match is not None else ""
    if canonicalize_name(name) != canonicalize_name(core.name):
        raise Refused(f"its metadata stands in {member}, but is that of {core.name}")
