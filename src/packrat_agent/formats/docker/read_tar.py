"""Lists the members of a tar file without unpacking it, trusting nothing in it.

Takes: an open tar file.
Gives: name → Member; names are relative, without `.` and `..`.
Touches: the headers in the file.

Source: POSIX.1 pax and ustar; GNU tar's long names and base-256 numbers.
"""

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from packrat_core.errors import Refused

MEMBERS_LIMIT = 20_000
NAME_LIMIT = 1024
EXTENDED_LIMIT = 64 * 1024
"""Bytes of one extended header: names and attributes that do not fit a plain one."""

_BLOCK = 512
_FILES = (b"0", b"\0", b"7")
_DIRECTORY = b"5"
_HARD_LINK = b"1"
_SYMBOLIC_LINK = b"2"
_DEVICES = {b"3": "a character device", b"4": "a block device", b"6": "a named pipe"}
_LINKS_FOLLOWED = 8


@dataclass(frozen=True, slots=True)
class Member:
    """One file, by where its `size` bytes begin, or one link, by the name of the member that it leads to."""

    offset: int
    size: int
    target: str | None = None


@dataclass(slots=True)
class _Extended:
    """What extended headers say of the member that follows them."""

    name: str | None = None
    target: str | None = None
    size: int | None = None


def read_members(file: BinaryIO) -> dict[str, Member]:
    """List files and links; directories are left out.

    Raises: Refused where it is no tar file, is torn, or holds what could mislead.
    """
    end = os.fstat(file.fileno()).st_size
    members: dict[str, Member] = {}
    extended = _Extended()
    at = 0
    for _ in range(MEMBERS_LIMIT * 2):
        header = _header(file, at)
        if header is None:
            return members
        kind = header[156:157]
        size = _number(header[124:136]) if extended.size is None else extended.size
        start = at + _BLOCK
        if start + size > end:
            raise Refused("it is torn: a tar member is cut off")
        at = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            _extend(extended, kind, file, size)
            continue
        member = _member(
            _text(_name(header)) if extended.name is None else extended.name, header, start, size, extended
        )
        extended = _Extended()
        if member is not None:
            name, found = member
            if name in members:
                raise Refused(f"it has two members called {_shown(name)}")
            members[name] = found
            if len(members) > MEMBERS_LIMIT:
                break
    raise Refused(f"it has more than {MEMBERS_LIMIT} members")


def follow(members: dict[str, Member], name: str) -> Member | None:
    """Find a file by its name, through links inside the archive.

    Raises: Refused where the links go in a circle.
    """
    for _ in range(_LINKS_FOLLOWED):
        member = members.get(name)
        if member is None or member.target is None:
            return member
        name = member.target
    raise Refused(f"its links go in a circle, or on and on, at {_shown(name)}")


def _header(file: BinaryIO, at: int) -> bytes | None:
    file.seek(at)
    header = file.read(_BLOCK)
    if len(header) != _BLOCK:
        raise Refused("it is no tar file, or torn: it has no end mark")
    if not header.strip(b"\0"):
        return None
    total = sum(header) - sum(header[148:156]) + 8 * 0x20
    if _number(header[148:156]) != total:
        raise Refused("it is no tar file, or torn: the checksum of a header is wrong")
    return header


def _member(name: str, header: bytes, start: int, size: int, extended: _Extended) -> tuple[str, Member] | None:
    kind = header[156:157]
    if kind in _DEVICES:
        raise Refused(f"its member {_shown(name)} is {_DEVICES[kind]}")
    if len(name) > NAME_LIMIT:
        raise Refused(f"it has a member with a name of {len(name)} characters, the limit is {NAME_LIMIT}")
    path = _inside("", name, name)
    if kind == _DIRECTORY or (kind in _FILES and name.endswith("/")):
        return None
    if kind in _FILES:
        return path, Member(start, size)
    if kind not in (_HARD_LINK, _SYMBOLIC_LINK):
        raise Refused(f"its member {_shown(name)} is of the unknown kind {kind!r}")
    target = _text(header[157:257].partition(b"\0")[0]) if extended.target is None else extended.target
    directory = str(PurePosixPath(path).parent) if kind == _SYMBOLIC_LINK else ""
    return path, Member(start, 0, _inside(directory, target, name, is_link=True))


def _inside(directory: str, path: str, name: str, *, is_link: bool = False) -> str:
    """Give a path relative to the archive's top; links may go up, members may not."""
    if path.startswith("/"):
        raise Refused(f"its member {_shown(name)} {'leads to' if is_link else 'has'} an absolute path")
    parts = [part for part in directory.split("/") if part not in ("", ".")]
    for part in path.split("/"):
        if part == "..":
            if not is_link or not parts:
                raise Refused(f"its member {_shown(name)} leads out of the archive")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _extend(extended: _Extended, kind: bytes, file: BinaryIO, size: int) -> None:
    if size > EXTENDED_LIMIT:
        raise Refused(f"it has an extended tar header of {size} bytes, the limit is {EXTENDED_LIMIT}")
    data = file.read(size)
    if kind == b"L":
        extended.name = _text(data.partition(b"\0")[0])
    elif kind == b"K":
        extended.target = _text(data.partition(b"\0")[0])
    elif kind == b"x":
        _extend_pax(extended, data)


def _extend_pax(extended: _Extended, data: bytes) -> None:
    while data:
        digits, space, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 7 else 0
        record = data[len(digits) + 1 : length - 1]
        if not space or length > len(data) or data[length - 1 : length] != b"\n" or b"=" not in record:
            raise Refused("it has a broken extended tar header")
        key, _, value = record.partition(b"=")
        if key == b"path":
            extended.name = _text(value)
        elif key == b"linkpath":
            extended.target = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise Refused("it has a broken extended tar header")
            extended.size = int(value)
        elif key.startswith(b"GNU.sparse"):
            raise Refused("it has a member with holes (a sparse file)")
        data = data[length:]


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(c in b"01234567" for c in digits):
        raise Refused("it is no tar file, or torn: a number in a header is not octal")
    return int(digits or b"0", 8)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _shown(name: str) -> str:
    return repr(name)[:120]
