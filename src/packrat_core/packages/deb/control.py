"""Reads the control file out of a .deb, trusting nothing in it.

It reads the headers of the members and the control archive, never the data archive.

Source: deb(5).
"""

import os
import posixpath
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from packrat_core.archives.ar import ArMember, list_members
from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.tar import TarLimits, TarReader, UnpackedNames
from packrat_core.archives.tar_source import SectionSource, Source
from packrat_core.errors import Damaged, Refused
from packrat_core.packages.deb.usual_archive import SIZE_LIMIT, find_control, find_in_package
from packrat_core.packages.parts import naming

CONTROL_ARCHIVE_LIMIT = 64 * 1024 * 1024
"""Bytes of a control archive, compressed or not; real ones have some kilobytes."""

_FORMAT = re.compile(rb"2\.[0-9]+\n")
_FORMAT_LIMIT = 64
CODINGS: Mapping[str, str | None] = {
    "": None,
    ".gz": "gzip",
    ".xz": "xz",
    ".zst": "zstd",
    ".bz2": "bzip2",
    ".lzma": "lzma",
}
"""Ending of an archive's name → its compression, for those that dpkg unpacks."""

_DATA_NAMES = frozenset(f"data.tar{ending}" for ending in CODINGS)
_CONTROL_CODINGS = frozenset({"", ".gz", ".xz", ".zst"})
_BSD_NAME = "#1/"
"""How BSD's ar begins the name of a member whose real name stands before its content."""
_TAR_MEMBERS_LIMIT = 10_000
_FRONT_BYTES = 64 * 1024
"""Bytes of a package that are read at once: seeking in it would take longer. Nearly all control archives end there."""


def check_file_name(name: str) -> None:
    """Check that a file of this name can be in an apt repository.

    Raises:
        Refused: it can't; among others, it is a udeb.
    """
    if name.endswith(".udeb"):
        raise Refused(
            f"{name} is a udeb: only Debian's installer uses those, from indexes that are not made here",
            hint="leave it out",
        )
    if not name.endswith((".deb", ".ddeb")):
        raise Refused(
            f"a deb called {name} can't be in an apt repository",
            hint="upload it under a name that ends in .deb or .ddeb",
        )


def read_control(path: Path) -> bytes:
    """Return the bytes of the control file of a Debian binary package.

    All member headers of the package are checked: dpkg must find all that it needs, and nothing may follow it.

    Raises:
        Refused: the file is not such a package, is damaged, or could mislead a client.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 pathlib takes as long as the kernel
        size = os.fstat(file.fileno()).st_size
        front = file.read(min(size + 1, _FRONT_BYTES))
        if size < _FRONT_BYTES:
            return read_control_of(front)
        found = find_in_package(front, size)
        if found is not None:
            return found
    with path.open("rb") as file:
        return _read_any(file)


def read_control_of(package: bytes) -> bytes:
    """Return the control file of a package that is given as bytes.

    Raises:
        Refused: as `read_control`.
    """
    found = find_in_package(package[:_FRONT_BYTES], len(package))
    return _read_any(BytesIO(package)) if found is None else found


def read_open_control(file: BinaryIO) -> bytes:
    """Return the control file of a package that is open, at any position.

    Raises:
        Refused: as `read_control`.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = find_in_package(file.read(_FRONT_BYTES), size)
    return _read_any(file) if found is None else found


def _read_any(file: BinaryIO) -> bytes:
    """Return the control file of a package that need not be of the usual form.

    Raises:
        Refused: as `read_control`.
    """
    control, _ = find_archives(file)
    if control.size > CONTROL_ARCHIVE_LIMIT:
        raise Refused(f"its control archive has {control.size} bytes, the limit is {CONTROL_ARCHIVE_LIMIT}")
    coding = control.name.removeprefix("control.tar")
    if coding not in _CONTROL_CODINGS:
        raise Refused(f"its control archive is compressed as {coding!r}; none, .gz, .xz and .zst can be read")
    found = _find_usual(file, control)
    if found is not None:
        return found
    with naming("its control archive"):
        return _read_control_file(open_archive(file, control, CONTROL_ARCHIVE_LIMIT))


def find_archives(file: BinaryIO) -> tuple[ArMember, ArMember]:
    """Return the control archive and the data archive of an open .deb.

    Raises:
        Refused: it is not a .deb of format 2, or dpkg would not find these two in it.
    """
    first, *others = list_members(file)
    if first.name != "debian-binary":
        raise Refused(f"it is not a .deb: its first member is {first.name!r}, not debian-binary")
    if first.size > _FORMAT_LIMIT or not _FORMAT.match(SectionSource(file, first.start, first.size).read(first.size)):
        raise Refused("it is a .deb of a format version other than 2")
    return _check_order(others)


def open_archive(file: BinaryIO, member: ArMember, limit: int | None = None) -> Source:
    """Open a member that is a tar archive, decompressing it as its name says.

    Args:
        file: the open .deb.
        member: its control or data archive.
        limit: the largest decompressed size in bytes; None for no limit beyond those of all archives.
    """
    packed = SectionSource(file, member.start, member.size)
    coding = CODINGS[member.name.partition(".tar")[2]]
    return packed if coding is None else open_compressed(packed, coding, limit)


def _check_order(members: list[ArMember]) -> tuple[ArMember, ArMember]:
    """Find the archives after debian-binary: control.tar* and data.tar*, each once, in this order.

    Members whose names begin with `_` may be anywhere, others only after the data archive. Source: deb(5).
    """
    needed = [member for member in members if not member.name.startswith("_")]
    if not needed:
        raise Damaged("it is damaged: nothing but debian-binary is in it", hint="upload it again, whole")
    control, *rest = needed
    if not control.name.startswith("control.tar"):
        raise Refused(f"its second member is {control.name!r}, not the control archive")
    if not rest:
        raise Damaged("it is damaged: it has no data archive behind its control archive", hint="upload it again, whole")
    data, *further = rest
    if data.name not in _DATA_NAMES:
        raise Refused(
            f"its third member is {data.name!r}, not the data archive: data.tar, or that with .gz, .xz, .zst, .bz2 or "
            ".lzma"
        )
    # dpkg ignores further members, so they may be anything but what another tool could take for these two.
    for member in members:
        if member.name.startswith(_BSD_NAME):
            # apt takes the name from the content, and of two members the last one.
            raise Refused(f"it has a member {member.name!r}, whose name apt reads elsewhere than dpkg")
    for member in further:
        if member.name.startswith(("control.tar", "data.tar")):
            raise Refused(f"it has a second control or data archive, {member.name!r}; dpkg would not look at it")
    return control, data


def _find_usual(file: BinaryIO, control: ArMember) -> bytes | None:
    """Return the control file where that can be had quickly; None where `_read_control_file` has to look."""
    try:
        # One byte more shows that there is more, and reads up to the checksum where there is not.
        archive = open_archive(file, control, CONTROL_ARCHIVE_LIMIT).read(SIZE_LIMIT + 1)
    except Refused:
        return None
    return find_control(archive)


def _read_control_file(archive: Source) -> bytes:
    found: bytes | None = None
    reader = TarReader(archive, TarLimits(members=_TAR_MEMBERS_LIMIT))
    unpacked = UnpackedNames()
    for member in reader:
        if "control" not in (member.name, posixpath.normpath(member.short_name)):
            # dpkg unpacks this archive in a directory of its own, as root.
            unpacked.add(member)
            continue
        if member.short_name:
            # apt reads the plain header, dpkg the extended one: they could find different control files.
            raise Refused("it names a member control by an extended header")
        if found is not None:
            raise Refused("it has two members called control")
        if not member.is_file:
            raise Refused("it has a control file that is a link or device, not a file")
        found = reader.read(CONTROL_ARCHIVE_LIMIT)
    if found is None:
        raise Refused("it has no file called control")
    return found
