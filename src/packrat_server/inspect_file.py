"""Determines what an uploaded file is, from its content if that can be read, else from its name.

Readable formats are also decompressed in memory and checked to the end: the server rejects a file that clients could
not install.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packaging.utils import canonicalize_name

from packrat_core.errors import Refused
from packrat_core.packages.deb import architectures as deb
from packrat_core.packages.deb.control import check_file_name as check_deb_name
from packrat_core.packages.deb.control import read_control
from packrat_core.packages.deb.payload import check_payload as check_deb
from packrat_core.packages.deb.stanza import read_stanza
from packrat_core.packages.file.payload import check_payload as check_file
from packrat_core.packages.image.inspect import is_image_archive
from packrat_core.packages.image.names import split_file_name
from packrat_core.packages.image.payload import check_payload as check_image
from packrat_core.packages.python.file_names import check_ending, is_outdated, split_sdist_name
from packrat_core.packages.python.inspect import Kind, NoDistribution, check_file_name, read_distribution
from packrat_core.packages.python.payload import check_payload as check_python
from packrat_core.packages.rpm import architectures as rpm
from packrat_core.packages.rpm.contents import check_contents as check_rpm
from packrat_core.packages.rpm.file_list import check_files as check_rpm_files
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.inspect import identify, is_source
from packrat_core.packages.rpm.rules import check_header

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
    """The identity of a file; `epoch` is set for an rpm, whose `version` does not include it."""

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
    # The name or the uploader promises a package that the content is not: don't let it in as a file of another type.
    promised = name[-3:] if name.endswith((".deb", ".rpm")) else kind
    if promised in ("deb", "rpm"):
        raise Unrecognized(f"{name} is not a package in {promised} format")
    return _by_name(path, name, kind)


def _unusable(what: str, error: Refused, hint: str = "build or download it again") -> Unrecognized:
    """Say that a file is unusable, and what to do; `hint`: what that is where the refusal doesn't say it."""
    return Unrecognized(f"unusable {what}: {error}" if error.hint else f"unusable {what}: {error}; {hint}")


def _checked(path: Path, inspected: Inspected) -> Inspected:
    """Check the payload of an inspected file.

    Raises:
        Unrecognized: The file is truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            _PAYLOAD_CHECKS[inspected.type](file)
    except Refused as error:
        raise _unusable(inspected.type, error) from None
    return inspected


def _image(path: Path, name: str) -> Inspected:
    """Read an image archive as the agent will.

    Raises:
        Unrecognized: It is unusable, or registries do not allow the image or the tag that its name says.
    """
    try:
        image, tag = split_file_name(name)
    except Refused as error:
        raise _unusable("docker", error, "rename the file, or give --package and --version") from None
    return _checked(path, Inspected(image, tag, "docker", "all"))


def _deb(path: Path, name: str) -> Inspected:
    try:
        check_deb_name(name)
        facts = read_stanza(read_control(path)).facts
    except Refused as error:
        raise _unusable("deb", error) from None
    if not deb.is_known(facts.arch):
        raise Unrecognized(f"Unrecognized deb Arch: {facts.arch}, which dpkg does not know")
    return Inspected(facts.name, facts.version, "deb", deb.server_name(facts.arch))


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
        check_rpm_files(header)
    except Refused as error:
        raise _unusable("rpm", error) from None
    if not rpm.is_known(facts.arch):
        raise Unrecognized(f"Unrecognized rpm Arch: {facts.arch}, which rpm does not know")
    epoch, _, version = facts.version.rpartition(":")
    return Inspected(facts.name, version, "rpm", rpm.server_name(facts.arch), int(epoch) if epoch.isdecimal() else 0)


def _by_name(path: Path, name: str, kind: str | None) -> Inspected:
    # Try Python first: the name of a source distribution may also match the general pattern.
    reason = ""
    if kind in (None, "python"):
        try:
            if (found := _python(path, name, kind)) is not None:
                return _checked(path, found)
        except NoDistribution as error:
            if kind == "python" or name.endswith((".whl", ".egg")):
                raise _unusable("Python distribution", error) from None
            # Another archive that is called like a source distribution.
            reason = f": {error}"
    if kind == "docker" or (kind is None and name.endswith(".tar") and is_image_archive(path)):
        return _image(path, name)
    named = _NAMED.fullmatch(name)
    if named is None:
        raise Unrecognized(f"PackageException (UNKNOWN_TYPE): Unable to Determine File Type{reason}")
    end = named["end"] or ""
    if kind is None:
        kind = "tar" if end.startswith(".tar") else _BY_END.get(end.lower(), "resource")
    _check_archive(path, name, end or name)
    return Inspected(named["name"], named["version"], kind, "all")


def _check_archive(path: Path, name: str, end: str) -> None:
    """Check that an archive of no package type is whole.

    Args:
        path: The uploaded file.
        name: Its name.
        end: The end of its name, for the message.

    Raises:
        Unrecognized: It is truncated, damaged or a decompression bomb.
    """
    try:
        with path.open("rb") as file:
            check_file(file, name)
    except Refused as error:
        raise _unusable(end[:200], error) from None


def _python(path: Path, name: str, kind: str | None) -> Inspected | None:
    """Read a wheel or source distribution; return None for a file that is called otherwise.

    Args:
        path: The uploaded file.
        name: Its name.
        kind: `python` if the uploader states this type, else None.

    Raises:
        NoDistribution: It is of a kind that no Python index has, or contains no metadata.
        Unrecognized: It is a wheel or source distribution that is unusable.
    """
    try:
        check_ending(name)
    except Refused as error:
        if kind is None and not is_outdated(name):
            return None
        raise NoDistribution(error.message, hint=error.hint) from None
    try:
        found = read_distribution(path)
        check_file_name(name, found.kind, found.core.name, found.core.version)
    except NoDistribution:
        raise
    except Refused as error:
        named = _NAMED.fullmatch(name)
        if kind is None and not name.endswith(".whl") and named is not None and named["version"][0].isdigit():
            # For example image_1.0-2.tar.gz: what a Python distribution must not contain, another archive may.
            return None
        raise _unusable("Python distribution", error) from None
    # Like the original server: the project as the file name spells it, limited to the characters of package names.
    spelled = name.partition("-")[0]
    if found.kind is Kind.SDIST:
        spelled = split_sdist_name(name, canonicalize_name(found.core.name))[0]
    return Inspected(_NOT_IN_PACKAGE_NAME.sub("-", spelled), found.core.version, "python", "all")
