"""Determines what an uploaded file is, from its content if that can be read, else from its name.

Readable formats are also decompressed in memory and checked to the end: the server rejects a file that clients could
not install.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packrat_core.archives.gzip_stream import GZIP_MAGIC, check_gzip_payload
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import check_file_name as check_deb_name
from packrat_core.packages.deb.control import read_control
from packrat_core.packages.deb.payload import check_payload as check_deb
from packrat_core.packages.deb.stanza import read_stanza
from packrat_core.packages.image.inspect import is_image_archive
from packrat_core.packages.image.payload import check_payload as check_image
from packrat_core.packages.python.inspect import NoDistribution, check_file_name, read_distribution
from packrat_core.packages.python.payload import check_payload as check_python
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.inspect import identify, is_source
from packrat_core.packages.rpm.payload import check_payload as check_rpm
from packrat_core.packages.rpm.rules import check_header

_DEB_ARCHES = {"amd64": "x86_64", "i386": "i386", "arm64": "arm64", "all": "all"}
_RPM_ARCHES = {
    "x86_64": "x86_64",
    "aarch64": "arm64",
    "noarch": "all",
    **dict.fromkeys(("i386", "i486", "i586", "i686"), "i386"),
}
_SDIST = re.compile(r"(?P<name>.+)-[^-]+\.(tar\.gz|zip)")
_NOT_IN_PACKAGE_NAME = re.compile(r"[^0-9A-Za-z_-]+")
_NAMED = re.compile(r"(?P<name>[0-9A-Za-z-]+)_(?P<version>.+?)(?P<end>\.tar(\.(gz|xz|bz2|zst))?|\.[A-Za-z]+)?")
_PAYLOAD_CHECKS: Mapping[str, Callable[[BinaryIO], None]] = {
    "deb": check_deb,
    "rpm": check_rpm,
    "python": check_python,
    "docker": check_image,
}
_BY_END = {".ova": "ova", ".respkg": "respkg", ".appimage": "appimage", ".img": "img"}


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a file is; `epoch` is set for an rpm, whose `version` does not include it."""

    package: str
    version: str
    type: str
    arch: str
    epoch: int | None = None


class Unrecognized(Exception):
    """The file can't be accepted; the text says why."""


def inspect_file(path: Path, name: str, kind: str | None = None) -> Inspected:
    """Determine what a file is, and check it.

    Args:
        path: The uploaded file.
        name: Its name, which may differ from that of `path`.
        kind: Its type as the uploader states it; None if not stated.

    Raises:
        Unrecognized: The file is of no known type, unusable or damaged.
    """
    if kind is not None and not re.fullmatch(r"[a-z0-9_-]{1,20}", kind):
        raise Unrecognized("Invalid type")
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"!<arch>\n":
        return _checked(path, _deb(path, name))
    if start[:4] == b"\xed\xab\xee\xdb":
        return _checked(path, inspect_rpm(path))
    # The name promises a package that the content is not: don't let it in as a file of another type.
    if name.endswith(".deb") or name.endswith(".rpm"):
        raise Unrecognized(f"{name} is no {name[-3:]} package")
    return _by_name(path, name, kind)


def _checked(path: Path, inspected: Inspected) -> Inspected:
    """Check the payload of an inspected file.

    Raises:
        Unrecognized: The file is truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            _PAYLOAD_CHECKS[inspected.type](file)
    except Refused as error:
        raise Unrecognized(f"unusable {inspected.type}: {error}; build or download it again") from None
    return inspected


def _deb(path: Path, name: str) -> Inspected:
    try:
        check_deb_name(name)
        facts = read_stanza(read_control(path)).facts
    except Refused as error:
        raise Unrecognized(f"unusable deb: {error}") from None
    if facts.arch not in _DEB_ARCHES:
        raise Unrecognized("Unrecognized deb Arch")
    return Inspected(facts.name, facts.version, "deb", _DEB_ARCHES[facts.arch])


def inspect_rpm(path: Path) -> Inspected:
    """Determine what an rpm is, from its header.

    Raises:
        Unrecognized: It is unusable, a source rpm, or of an unknown architecture.
    """
    try:
        with path.open("rb") as file:
            header = walk(file).header
        if is_source(header):
            raise Unrecognized("Source rpms are not supported")
        facts = identify(header)
        check_header(header)
    except Refused as error:
        raise Unrecognized(f"unusable rpm: {error}") from None
    if facts.arch not in _RPM_ARCHES:
        raise Unrecognized("Unrecognized rpm Arch")
    epoch, _, version = facts.version.rpartition(":")
    return Inspected(facts.name, version, "rpm", _RPM_ARCHES[facts.arch], int(epoch) if epoch.isdecimal() else 0)


def _by_name(path: Path, name: str, kind: str | None) -> Inspected:
    # Try Python first: the name of a source distribution may also match the general pattern.
    if kind in (None, "python") and (found := _python(path, name, kind)) is not None:
        return _checked(path, found)
    named = _NAMED.fullmatch(name)
    if named is None:
        raise Unrecognized("PackageException (UNKNOWN_TYPE): Unable to Determine File Type")
    end = named["end"] or ""
    if kind is None:
        if end == ".tar" and is_image_archive(path):
            return _checked(path, Inspected(named["name"], named["version"], "docker", "all"))
        kind = "tar" if end.startswith(".tar") else _BY_END.get(end.lower(), "resource")
    if end == ".tar.gz":
        _check_gzip(path)
    return Inspected(named["name"], named["version"], kind, "all")


def _check_gzip(path: Path) -> None:
    """Check a file that starts like gzip.

    Raises:
        Unrecognized: It is truncated, damaged or a decompression bomb.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(GZIP_MAGIC))
            file.seek(0)
            if magic == GZIP_MAGIC:
                check_gzip_payload(file)
    except Refused as error:
        raise Unrecognized(f"unusable .tar.gz: {error}; build or download it again") from None


def _python(path: Path, name: str, kind: str | None) -> Inspected | None:
    """Read a wheel or source distribution; return None for another archive that is named like one.

    Args:
        path: The uploaded file.
        name: Its name.
        kind: `python` if the uploader states this type, else None.

    Raises:
        Unrecognized: It is a wheel or source distribution that is unusable.
    """
    sdist = _SDIST.fullmatch(name)
    if sdist is None and not name.endswith(".whl"):
        return None
    try:
        found = read_distribution(path)
        check_file_name(name, found.kind, found.core.name, found.core.version)
    except NoDistribution as error:
        if sdist is not None:
            return None
        raise Unrecognized(f"unusable wheel: {error}") from None
    except Refused as error:
        named = _NAMED.fullmatch(name)
        if kind is None and sdist is not None and named is not None and named["version"][0].isdigit():
            # For example image_1.0-2.tar.gz: what a Python distribution must not contain, another archive may.
            return None
        raise Unrecognized(f"unusable Python distribution: {error}") from None
    # Like the original server: the project as the file name spells it, limited to the characters of package names.
    spelled = sdist["name"] if sdist is not None else name.partition("-")[0]
    return Inspected(_NOT_IN_PACKAGE_NAME.sub("-", spelled), found.core.version, "python", "all")
