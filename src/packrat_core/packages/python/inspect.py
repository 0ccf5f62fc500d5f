"""Finds and reads the metadata of a wheel or source distribution, trusting nothing in the file.

Source: Binary distribution format (PEP 427), Source distribution format (PEP 643, 625).
"""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from packaging.utils import InvalidSdistFilename
from packaging.version import InvalidVersion

from packrat_core.archives.gzip_stream import GZIP_MAGIC, GzipStream
from packrat_core.archives.member_names import MetadataNames
from packrat_core.archives.tar import TarReader, UnpackedNames
from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.archives.zip_directory import ZipMember
from packrat_core.errors import Refused
from packrat_core.packages.python.file_names import parse_file_name, split_sdist_name
from packrat_core.packages.python.metadata import CoreMetadata, check_text, read_metadata
from packrat_core.packages.python.names_inside import check_names
from packrat_core.packages.python.requirements import check_requirements
from packrat_core.packages.python.spellings import is_version, normalize, version_of
from packrat_core.packages.python.wheel import read_wheel_file

METADATA_LIMIT = 4 * 1024 * 1024
"""Bytes of METADATA or PKG-INFO; real ones have some kilobytes."""

_BUFFER_BYTES = 16 * 1024
_AT_ONCE_BYTES = 256 * 1024
"""Size up to which a file is read at once: most wheels are smaller, and each read takes as long as parsing a header."""

_TAGS_LIMIT = 500
_KNOWN_WHEEL_FILES = 256
_KNOWN_WHEEL_FILE_LIMIT = 2048
"""Characters of a WHEEL file whose tags are remembered."""

_WHEEL_METADATA = re.compile(r"([^/]+)\.dist-info/METADATA")
_WHEEL_TAG = re.compile(r"([a-z0-9_.]+)-([a-z0-9_.]+)-([a-z0-9_.]+)", re.IGNORECASE)
_WHEEL_BUILD = re.compile(r"[0-9][A-Za-z0-9_.]{0,60}")
_SDIST_METADATA = re.compile(r"[^/]+/PKG-INFO")
_PROJECT_FILES = frozenset({"pyproject.toml", "setup.py"})


class Kind(StrEnum):
    """The kinds of Python distribution file."""

    WHEEL = "wheel"
    SDIST = "sdist"


class NoDistribution(Refused):
    """The file is sound but not a Python distribution, as it contains no metadata."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution.

    Attributes:
        kind: wheel or source distribution.
        content: the bytes of METADATA or PKG-INFO.
        core: the fields read from it.
        file_name: the name that tools give such a file; '' if that can't be told from its content.
    """

    kind: Kind
    content: bytes
    core: CoreMetadata
    file_name: str


def read_distribution(path: Path, content: bytes | None = None) -> Distribution:
    """Read a wheel or source distribution, judging by its content and not by its name.

    Args:
        path: The file.
        content: All of its bytes, where they are in memory anyway.

    Raises:
        NoDistribution: the file is something else.
        Refused: the file is damaged, or could harm or mislead a client.
    """
    if content is not None:
        return _read(BytesIO(content))
    with FileIO(path) as raw:
        size = os.fstat(raw.fileno()).st_size
        if size <= _AT_ONCE_BYTES and len(whole := raw.read(size + 1)) == size:
            return _read(BytesIO(whole))
        raw.seek(0)
        # Small members lie close together, so one read into a buffer of this size fetches several of their headers.
        return _read(BufferedReader(raw, _BUFFER_BYTES))


def _read(file: BinaryIO) -> Distribution:
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
    project, inside = normalize(name), version_of(version)
    if file_name.endswith(".whl") != (kind == Kind.WHEEL):
        raise Refused(f"it is called {file_name}, but inside it is a {kind}")
    found = parse_file_name(file_name, project)
    if found != (project, inside):
        raise Refused(f"its file name says {found[0]} {found[1]}, its metadata {project} {inside}")


def _from_tar(file: BinaryIO) -> Distribution:
    archive = TarReader(GzipStream(file))
    found: bytes | None = None
    top = ""
    unpacked, names, root = UnpackedNames(), MetadataNames(_SDIST_METADATA), _Root()
    for member in archive:
        root.add(member.name)
        unpacked.add(member)
        names.add(member.name)
        if not _SDIST_METADATA.fullmatch(member.name):
            continue
        if not member.is_file:
            raise Refused(f"its {member.name} is a link or directory, not a file")
        if found is not None:
            raise Refused("it has more than one PKG-INFO at its top")
        found = archive.read(METADATA_LIMIT)
        top = member.name.partition("/")[0]
    if found is None:
        raise NoDistribution("it has no PKG-INFO: it is not a source distribution")
    root.check(top)
    return _sdist(found, top, ".tar.gz")


def _from_zip(file: BinaryIO) -> Distribution:
    archive = ZipArchive(file)
    check_names(archive.members)
    # Few names end like this, and the test is cheaper than a regular expression on every name.
    named = [member for member in archive.members if member.name.endswith(("/METADATA", "/PKG-INFO"))]
    wheels = [member for member in named if _WHEEL_METADATA.fullmatch(member.name)]
    if wheels:
        content = archive.read(_only(wheels), METADATA_LIMIT)
        check_text(content)
        core = read_metadata(content)
        check_requirements(content)
        _check_info_directory(wheels[0].name, core)
        info = wheels[0].name.removesuffix("/METADATA")
        return Distribution(Kind.WHEEL, content, core, _wheel_name(read_wheel_file(archive, info), info, core))
    sdists = [member for member in named if _SDIST_METADATA.fullmatch(member.name)]
    if sdists:
        content = archive.read(_only(sdists), METADATA_LIMIT)
        root, top = _Root(), sdists[0].name.partition("/")[0]
        for member in archive.members:
            root.add(member.name)
        root.check(top)
        return _sdist(content, top, ".zip")
    raise NoDistribution("it has neither .dist-info/METADATA nor PKG-INFO: it is not a Python distribution")


class _Root:
    """The top of a source distribution, where clients look for a project if not all is in one directory."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._has_project = False

    def add(self, name: str) -> None:
        """Look at the name of a member."""
        self._has_project = self._has_project or name in _PROJECT_FILES
        name = name.partition("/")[0]
        # The first two that differ tell enough.
        if len(self._names) < 2 and name not in self._names and name != ".":
            self._names.append(name)

    def check(self, top: str) -> None:
        """Check that clients find the project whose PKG-INFO is in the directory `top`.

        Raises:
            Refused: something else is beside the directory, and no project.
        """
        beside = [name for name in self._names if name != top]
        if beside and not self._has_project:
            raise Refused(
                f"it has {beside[0][:80]!r} beside the directory {top[:80]!r}, so pip and uv look for a project in the "
                "place of both and find none",
                hint="rebuild it, with all files in one directory",
            )


def _only(found: list[ZipMember]) -> ZipMember:
    if len(found) > 1:
        raise Refused(f"it has more than one metadata file: {found[0].name}, {found[1].name}")
    return found[0]


def _check_info_directory(member: str, core: CoreMetadata) -> None:
    """Check that clients read the project's name, and a version, in the name of the .dist-info directory.

    pip ends with an error as soon as it has unpacked another one, and uv in every later command in that environment.

    Raises:
        Refused: they read something else there.
    """
    match = _WHEEL_METADATA.fullmatch(member)
    name, _, version = match[1].partition("-") if match is not None else ("", "", "")
    # Which version is told by the metadata; neither client compares them.
    if normalize(name) == normalize(core.name) and is_version(version):
        return
    raise Refused(
        f"its metadata is in {member[:120]}, but is that of {core.name} {core.version}; clients read there the name "
        f"{name[:60]!r} and the version {version[:60]!r}",
        hint="build the wheel again",
    )


def _sdist(content: bytes, top: str, ending: str) -> Distribution:
    """Make the value for a source distribution, whose files are in a directory called like the file itself."""
    core = read_metadata(content)
    return Distribution(Kind.SDIST, content, core, _stem_of(top, core) + ending)


def _stem_of(directory: str, core: CoreMetadata) -> str:
    """Return name and version as the directory in the archive spells them; spelled again if they are others."""
    try:
        project = normalize(core.name)
        spelled, version = split_sdist_name(f"{directory}.zip", project)
        if (normalize(spelled), version) == (project, version_of(core.version)):
            return directory
    except (InvalidSdistFilename, InvalidVersion):
        pass
    return f"{re.sub(r'[-_.]+', '_', core.name)}-{core.version}"


def _wheel_name(wheel_file: str, info: str, core: CoreMetadata) -> str:
    """Return the name that a wheel's own WHEEL file gives it; '' if that has no usable tags."""
    # Most wheels that one tool has built have the same bytes there.
    tags = (_known_tags if len(wheel_file) <= _KNOWN_WHEEL_FILE_LIMIT else _read_tags)(wheel_file)
    return f"{_stem_of(info.removesuffix('.dist-info'), core)}-{tags}.whl" if tags else ""


def _read_tags(wheel_file: str) -> str:
    """Return what follows the version in the name of a wheel, its build and its tags; '' if some can't be used."""
    lines = (line.partition(":") for line in wheel_file.splitlines())
    values = [(name.strip().lower(), value.strip()) for name, _, value in lines]
    tags = [_WHEEL_TAG.fullmatch(value) for name, value in values if name == "tag"]
    build = next((value for name, value in values if name == "build"), None)
    if not tags or len(tags) > _TAGS_LIMIT or (build is not None and not _WHEEL_BUILD.fullmatch(build)):
        return ""
    # Each line is one combination of what the file's name joins by dots.
    joined = [".".join(dict.fromkeys(tag[part] for tag in tags if tag is not None)) for part in (1, 2, 3)]
    return "-".join([*([build] if build is not None else []), *joined]) if all(joined) else ""


_known_tags = lru_cache(_KNOWN_WHEEL_FILES)(_read_tags)
