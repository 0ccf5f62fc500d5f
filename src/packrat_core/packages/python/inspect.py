"""Finds the metadata inside a wheel or source distribution, trusting nothing in it.

Takes: the path of a .whl, .tar.gz or .zip.
Gives: Distribution: its kind, the bytes of its METADATA or PKG-INFO, what they say.
Touches: the file.

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

from packrat_agent.formats.pypi.read_tar import TarGz
from packrat_agent.formats.pypi.read_zip import ZipMember, list_members, read_member
from packrat_core.errors import Refused
from packrat_core.packages.python.metadata import CoreMetadata, read_metadata

SDIST_ENDINGS = (".tar.gz", ".zip")

_WHEEL_METADATA = re.compile(r"([^/]+)\.dist-info/METADATA")
_SDIST_METADATA = re.compile(r"[^/]+/PKG-INFO")


class Kind(StrEnum):
    """What a Python distribution file is."""

    WHEEL = "wheel"
    SDIST = "sdist"


class NoDistribution(Refused):
    """The file is sound, but no Python distribution: there is no metadata in it."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A file that was read; `content` is what `core` was taken from."""

    kind: Kind
    content: bytes
    core: CoreMetadata


def read_distribution(path: Path) -> Distribution:
    """Read a wheel or source distribution by what is in it, whatever it is called.

    Raises: NoDistribution; Refused where it is torn, or could harm or mislead a client.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] == b"\x1f\x8b":
            kind, content = Kind.SDIST, _from_tar(file)
        elif start == b"PK\3\4":
            kind, content = _from_zip(file)
        else:
            raise NoDistribution("it is neither a zip archive nor a .tar.gz: no wheel and no source distribution")
    return Distribution(kind, content, read_metadata(content))


def check_file_name(file_name: str, kind: str, name: str, version: str) -> None:
    """Hold a file's name against what stands inside it, as clients choose files by their names.

    Raises: Refused where they differ.
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
    """Split at the dash that leaves the project on the left: 1.0-1 is a version too."""
    ending = next((one for one in SDIST_ENDINGS if file_name.endswith(one)), None)
    if ending is None:
        raise InvalidSdistFilename(f"{file_name} ends neither with .tar.gz nor with .zip")
    stem = file_name.removesuffix(ending)
    for at, letter in enumerate(stem):
        if letter == "-" and canonicalize_name(stem[:at]) == project:
            return project, Version(stem[at + 1 :])
    name, dash, version = stem.rpartition("-")
    if not dash:
        raise InvalidSdistFilename(f"{file_name} has no version")
    return canonicalize_name(name), Version(version)


def _from_tar(file: BinaryIO) -> bytes:
    archive = TarGz(file)
    found: bytes | None = None
    for member in archive.members():
        if not _SDIST_METADATA.fullmatch(member.name):
            continue
        if not member.is_file:
            raise Refused(f"its {member.name} is a link or directory, no file")
        if found is not None:
            raise Refused("it has more than one PKG-INFO at its top")
        found = archive.read()
    if found is None:
        raise NoDistribution("it has no PKG-INFO: it is no source distribution")
    return found


def _from_zip(file: BinaryIO) -> tuple[Kind, bytes]:
    members = list_members(file)
    wheels = [member for member in members if _WHEEL_METADATA.fullmatch(member.name)]
    if wheels:
        content = read_member(file, _only(wheels))
        _check_info_directory(wheels[0].name, read_metadata(content))
        return Kind.WHEEL, content
    sdists = [member for member in members if _SDIST_METADATA.fullmatch(member.name)]
    if sdists:
        return Kind.SDIST, read_member(file, _only(sdists))
    raise NoDistribution("it has neither .dist-info/METADATA nor PKG-INFO: it is no Python distribution")


def _only(found: list[ZipMember]) -> ZipMember:
    if len(found) > 1:
        raise Refused(f"it has more than one metadata file: {found[0].name}, {found[1].name}")
    return found[0]


def _check_info_directory(member: str, core: CoreMetadata) -> None:
    match = _WHEEL_METADATA.fullmatch(member)
    name = match[1].rpartition("-")[0] if match is not None else ""
    if canonicalize_name(name) != canonicalize_name(core.name):
        raise Refused(f"its metadata stands in {member}, but is that of {core.name}")
