"""Checks that dpkg can unpack the archives of a .deb, by decompressing them in memory.

It is stricter than dpkg: only zeros may follow a compressed stream or a tar archive, a tar archive must have an end
mark, and its names must stay inside the directory that it is unpacked into.

1. dpkg reads the data archive itself, in the formats ustar, v7 and GNU's: `dpkg-deb --extract` lets tar do it, which
   reads more.
2. dpkg writes each member of the data archive beside the place where it belongs, under a longer name. Links and places
   that it can't create are in `data_members`.
3. The control archive holds files alone, with names that are not too long; dpkg takes no files from it with a dot in
   their names, but unpacks them.
4. Each line of `conffiles` and `triggers` ends with a newline; one of `conffiles` is not too long. Only dpkg 1.20.6 and
   later demand an absolute path there, and that of Ubuntu 20.04 is older. Those of `triggers` have a directive and the
   name of a trigger.

Source: dpkg's tarfn.c, archives.c, unpack.c and trigger.c; deb-conffiles(5), deb-triggers(5).
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from packrat_core.archives.member_names import FILE_NAME_BYTES, longest_part
from packrat_core.archives.tar import TarKind, TarMember, TarReader
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import find_archives, open_archive
from packrat_core.packages.deb.data_members import DataMembers
from packrat_core.packages.parts import naming

_PAX = "it has pax headers, which dpkg can't read; write it in GNU's format of tar (in Python, tarfile.GNU_FORMAT)"
_UNREADABLE = {
    b"x": _PAX,
    b"g": _PAX,
    b"7": "it has a contiguous file, which dpkg can't read; write it as a plain file",
}
_DATA_NAME_BYTES = FILE_NAME_BYTES - len(".dpkg-new")
_CONTROL_NAME_BYTES = 100

_LINES_LIMIT = 1024 * 1024
_CONFFILE_BYTES = 996
"""Bytes of a line in conffiles, without its newline."""
_SHOWN_LIMIT = 60
_TRIGGER_BYTES = 254
"""Bytes of a line in triggers, without its newline; that of a comment, too."""
_TRIGGER = re.compile(rb"[!-~]+")
_TRIGGER_OF_INTEREST = re.compile(rb"(?:/[!-.0-~]+)+|[A-Za-z0-9][A-Za-z0-9+.-]*")
"""A path, or what could be a package; `activate` takes any name, since it may be of none."""
_DIRECTIVES = frozenset(start + end for start in (b"interest", b"activate") for end in (b"", b"-await", b"-noawait"))


def check_payload(file: BinaryIO) -> None:
    """Decompress the control and data archives to the end and read all their members.

    Raises:
        Refused: an archive is damaged, a decompression bomb, or has what dpkg can't unpack.
    """
    control, data = find_archives(file)
    with naming("its control archive"):
        reader = TarReader(open_archive(file, control), may_be_empty=True)
        conffiles = b""
        for member in reader:
            content = _check_control_member(reader, member)
            # dpkg unpacks each over the one before it.
            conffiles = content if member.name == "conffiles" else conffiles
    with naming("its data archive"):
        members = DataMembers()
        for member in TarReader(open_archive(file, data), may_be_empty=True, unreadable=_UNREADABLE):
            _check_name(member.name, _DATA_NAME_BYTES)
            members.add(member)
        members.check_conffiles(_paths_of(conffiles))


def _check_control_member(reader: TarReader, member: TarMember) -> bytes:
    """Check a member of the control archive; return its content, if it is one that is read.

    Raises:
        Refused: dpkg can't read it.
    """
    if member.kind is TarKind.DIRECTORY:
        if member.name != ".":
            raise Refused(f"it has a directory {member.name[:_SHOWN_LIMIT]!r}, at which dpkg fails")
        return b""
    _check_name(member.name, FILE_NAME_BYTES if "." in member.name else _CONTROL_NAME_BYTES)
    if member.name not in ("conffiles", "triggers") or not member.is_file:
        return b""
    content = reader.read(_LINES_LIMIT)
    _check_lines(member.name, content)
    return content


def _paths_of(conffiles: bytes) -> Iterator[str]:
    """Give the paths of the conffiles, without the slash before them."""
    for line in conffiles.decode("utf-8", "backslashreplace").split("\n"):
        # A line may also begin with a flag, for a path that the package does not have.
        if line.startswith("/") and not line.rstrip().endswith("/"):
            yield line.strip("/ ")


def _check_name(name: str, limit: int) -> None:
    # Fast path for nearly all names; an archive may have 200,000 of them.
    if len(name) <= limit and name.isascii() and "\n" not in name:
        return
    if "\n" in name:
        raise Refused(f"it has a newline in the name {name[:_SHOWN_LIMIT]!r}, which dpkg does not allow")
    longest = longest_part(name)
    if longest > limit:
        raise Refused(f"it has a name of {longest} bytes, {name[:_SHOWN_LIMIT]!r}; dpkg can't create more than {limit}")


def _check_lines(name: str, content: bytes) -> None:
    if content and not content.endswith(b"\n"):
        raise Refused(f"its {name} does not end with a newline, without which dpkg can't read the last line")
    if name == "triggers":
        _check_triggers(content)
        return
    for line in content.split(b"\n"):
        if len(line) > _CONFFILE_BYTES:
            shown = line[:_SHOWN_LIMIT].decode("utf-8", "backslashreplace")
            raise Refused(f"its conffiles has a line of {len(line)} bytes, {shown!r}; dpkg reads {_CONFFILE_BYTES}")


def _check_triggers(content: bytes) -> None:
    for line in content.split(b"\n"):
        directive, _, name = line.strip(b" \t").replace(b"\t", b" ").partition(b" ")
        shown = repr(line[:_SHOWN_LIMIT].decode("utf-8", "backslashreplace"))
        if len(line) > _TRIGGER_BYTES:
            raise Refused(f"its triggers has a line of {len(line)} bytes, {shown}; dpkg reads {_TRIGGER_BYTES}")
        if b"\0" in line:
            raise Refused(f"its triggers has a NUL byte in the line {shown}")
        if not directive or directive.startswith(b"#"):
            continue
        if directive not in _DIRECTIVES:
            raise Refused(f"its triggers has a directive that dpkg does not know, in the line {shown}")
        allowed = _TRIGGER_OF_INTEREST if directive.startswith(b"interest") else _TRIGGER
        if not allowed.fullmatch(name.lstrip(b" ")):
            raise Refused(f"its triggers has no name of a trigger that dpkg takes in the line {shown}")
