"""Finds and reads the central directory of a zip archive, if all clients see the same one.

Clients look for the directory in different ways: by the first or last signature, using zip64 always or only if a field
says so, allowing bytes before the archive or not. The reader accepts an archive only if all of them find the same
directory.

Source: APPNOTE.TXT 6.3.10 of the ZIP format.
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from packrat_core.archives.limits import MEMBERS_LIMIT, check_count
from packrat_core.archives.member_names import check_name
from packrat_core.errors import Damaged, Refused

DIRECTORY_LIMIT = 64 * 1024 * 1024
IN_EXTRA_32 = 0xFFFFFFFF
ENCRYPTED, WITH_DESCRIPTOR, UTF_8 = 0x1, 0x8, 0x800

_IN_EXTRA_16 = 0xFFFF
_COMMENT_LIMIT = 0xFFFF
_END = struct.Struct("<4s4H2LH")
_END_64_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s2xBx2H4x3L4H2x2L")
_UNREADABLE = 0x20 | 0x40 | 0x2000
"""Flags: patched data, strong encryption, masked headers. None of the supported clients reads them."""
_VERSION_LIMIT = 63
"""The newest version of the format that Python's zipfile opens."""
_FILES = frozenset({0, stat.S_IFREG >> 12, stat.S_IFDIR >> 12})
"""Accepted file types in the topmost bits of the external attributes; 0 if the writer does not record one."""
_ZIP_64, _UNICODE_PATH = 0x0001, 0x7075


class ZipMember(NamedTuple):
    """One entry of the central directory; `offset` is that of the member's local header.

    `repeated` holds the bytes that the local header normally repeats, from the version to the length of the name. It is
    empty if some of the numbers are in extra fields, since the bytes may differ then. This is a named tuple because an
    archive may have 200,000 members, and creating a frozen dataclass takes several times as long.
    """

    name: str
    raw_name: bytes
    repeated: bytes
    flags: int
    method: int
    crc: int
    packed: int
    unpacked: int
    offset: int


@dataclass(frozen=True, slots=True)
class Directory:
    """Offset and size in bytes of the central directory, and the number of members that it declares."""

    offset: int
    size: int
    members: int


def find_directory(file: BinaryIO, size: int) -> Directory:
    """Find the central directory by the record at the end of the file, which has `size` bytes.

    Raises:
        Refused: The file is not a zip archive, is truncated, or clients could find different directories.
    """
    tail_start = max(0, size - _END_64.size - _END_64_LOCATOR.size - _END.size - _COMMENT_LIMIT)
    tail = read_at(file, tail_start, size - tail_start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise Damaged("it is not a zip archive, or damaged: the end of the central directory is missing")
    end = _END.unpack_from(tail, at)
    if at + _END.size + end[7] != len(tail):
        raise Damaged("it is damaged: bytes follow after the end of the zip archive")
    # Python uses a zip64 record whenever there is one, other clients only if a field refers to it.
    locator = at - _END_64_LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\6\7", locator):
        return _directory_64(tail, tail_start, locator, end)
    if end[5] == IN_EXTRA_32 or end[6] == IN_EXTRA_32:
        raise Damaged("it is damaged: the zip64 locator is missing")
    directory = Directory(end[6], end[5], end[4])
    _check_directory(directory, tail_start + at, disks=end[1:3], on_this_disk=end[3])
    return directory


def _directory_64(tail: bytes, tail_start: int, locator: int, end: tuple[int, ...]) -> Directory:
    at = locator - _END_64.size
    _, disk, where, disks = _END_64_LOCATOR.unpack_from(tail, locator)
    if at < 0 or not tail.startswith(b"PK\6\6", at) or where != tail_start + at:
        raise Damaged("it is damaged: the zip64 end of the central directory is missing")
    record = _END_64.unpack_from(tail, at)
    directory = Directory(record[9], record[8], record[7])
    if record[1] != _END_64.size - 12 or disk or disks != 1:
        raise Damaged("it is damaged: the zip64 end of the central directory is broken")
    # Clients that ignore zip64 use the short record, so its fields must be equal, or refer to the zip64 record.
    short = (end[4], _IN_EXTRA_16, directory.members), (end[5], IN_EXTRA_32, directory.size)
    for value, in_extra, expected in (*short, (end[6], IN_EXTRA_32, directory.offset)):
        if value not in (in_extra, expected):
            raise Refused("it has two ends of its central directory, which disagree")
    _check_directory(directory, where, disks=record[4:6], on_this_disk=record[6])
    return directory


def _check_directory(directory: Directory, end: int, *, disks: tuple[int, ...], on_this_disk: int) -> None:
    if any(disks) or on_this_disk != directory.members:
        raise Refused("it is a part of a zip archive of several parts")
    if directory.offset + directory.size != end:
        raise Refused("it has bytes before the zip archive or inside it that belong to nothing")
    if directory.size > DIRECTORY_LIMIT:
        raise Refused(f"its central directory has {directory.size} bytes, the limit is {DIRECTORY_LIMIT}")
    check_count(directory.members)


def read_entries(data: bytes) -> Iterator[ZipMember]:
    """Yield the entries of a central directory, in its order.

    Raises:
        Refused: An entry is broken, could harm a client, or is read differently by different clients.
    """
    at = 0
    # The count of members was checked against the limit, but nothing holds the entries to that count.
    for _ in range(MEMBERS_LIMIT + 1):
        if at == len(data):
            return
        if at + _ENTRY.size > len(data):
            raise Damaged("it is damaged: an entry of the central directory is cut off")
        entry = _ENTRY.unpack_from(data, at)
        signature, version, flags, method, crc, packed, unpacked = entry[:7]
        name_size, extra_size, comment_size, disk, attributes, offset = entry[7:]
        name_end = at + _ENTRY.size + name_size
        extra_end = name_end + extra_size
        if signature != b"PK\1\2" or extra_end + comment_size > len(data):
            raise Damaged("it is damaged: an entry of the central directory is broken")
        raw_name = data[at + _ENTRY.size : name_end]
        name = raw_name.decode("utf-8", "backslashreplace")
        check_name(name)
        if disk or version > _VERSION_LIMIT or flags & (_UNREADABLE | ENCRYPTED) or attributes >> 28 not in _FILES:
            raise _unreadable(name, disk=disk, version=version, flags=flags)
        if flags & UTF_8 and not raw_name.isascii():
            _check_utf_8(raw_name)
        # The bytes from the version to the size of the name; the local header has the same.
        repeated = data[at + 6 : at + 30]
        if extra_size:
            numbers = unpacked, packed, offset
            wide = widen(numbers, data[name_end:extra_end], raw_name)
            unpacked, packed, offset = wide
            if wide != numbers:
                # The local header may keep other numbers in its own extra field.
                repeated = b""
        elif IN_EXTRA_32 in (unpacked, packed, offset):
            raise Damaged("it is damaged: a zip64 field is missing")
        yield ZipMember(name, raw_name, repeated, flags, method, crc, packed, unpacked, offset)
        at = extra_end + comment_size


def _unreadable(name: str, *, disk: int, version: int, flags: int) -> Refused:
    if flags & ENCRYPTED:
        return Refused(f"its member {name[:80]!r} is encrypted")
    if disk or version > _VERSION_LIMIT or flags & _UNREADABLE:
        return Refused(f"its member {name[:80]!r} is stored in a way that clients can't read")
    return Refused(f"its member {name[:80]!r} is a link or device, not a file")


def _check_utf_8(raw_name: bytes) -> None:
    try:
        raw_name.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"its member {raw_name[:80]!r} has a name that is not UTF-8, though it says so") from None


def widen(numbers: tuple[int, ...], extra: bytes, raw_name: bytes) -> tuple[int, ...]:
    """Take the numbers that don't fit into 32 bits from the zip64 field.

    Args:
        numbers: The numbers in the header, in the order of the zip64 field.
        extra: The extra fields of the header.
        raw_name: The name in the header.

    Returns:
        All numbers, at their full width.

    Raises:
        Refused: The extra fields are broken, doubled, or give the member another name.
    """
    fields: dict[int, bytes] = {}
    at = 0
    # Python ignores up to three bytes after the last field.
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4 + length
        if at > len(extra):
            raise Damaged("it is damaged: the extra fields of a member are broken")
        if kind in (_ZIP_64, _UNICODE_PATH) and kind in fields:
            raise Refused("it has a member with the same extra field twice")
        fields[kind] = extra[at - length : at]
    if _UNICODE_PATH in fields and fields[_UNICODE_PATH][5:] != raw_name:
        raise Refused(f"its member {raw_name[:80]!r} has another name in its extra fields")
    field = fields.get(_ZIP_64, b"")
    wide = []
    for number in numbers:
        if number != IN_EXTRA_32:
            wide.append(number)
            continue
        if len(field) < 8:
            raise Damaged("it is damaged: a zip64 field is missing")
        wide.append(int.from_bytes(field[:8], "little"))
        field = field[8:]
    return tuple(wide)


def read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """Read `length` bytes at an offset that comes from the file itself and may have 64 bits.

    Args:
        file: The archive.
        offset: Where to begin.
        length: How many bytes.

    Raises:
        Refused: The file has no such bytes.
    """
    if offset < 0 or offset >= 1 << 62:
        raise Damaged("it is damaged: it points outside itself")
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise Damaged("it is damaged: it ends too early")
    return data
