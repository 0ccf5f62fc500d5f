"""Reads the members of a zip archive that a client would see, trusting nothing in it.

Takes: an open zip file.
Gives: its members from the central directory; the bytes of a small one.
Touches: the file.

Source: APPNOTE.TXT 6.3.10 of the ZIP format.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from packrat_agent.formats.pypi.bounds import MEMBERS_LIMIT, METADATA_LIMIT, check_count, check_name, check_unpacked
from packrat_core.errors import Refused

_DIRECTORY_LIMIT = 64 * 1024 * 1024
_END = struct.Struct("<4s4H2LH")
_END_64_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT_LIMIT = 0xFFFF
_IN_EXTRA_16, _IN_EXTRA_32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 0x1
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member as the central directory has it; `offset` is that of its local header."""

    name: str
    raw_name: bytes
    method: int
    crc: int
    packed: int
    unpacked: int
    offset: int


def list_members(file: BinaryIO) -> list[ZipMember]:
    """List all members, in the order of the central directory.

    Raises: Refused where the archive is torn, has a member that could harm a client, or is a bomb.
    """
    size = file.seek(0, os.SEEK_END)
    start, length, count = _find_directory(file, size)
    if length > _DIRECTORY_LIMIT:
        raise Refused(f"its central directory has {length} bytes, the limit is {_DIRECTORY_LIMIT}")
    check_count(count)
    directory = _read(file, start, length)
    members = list(_entries(directory))
    if len(members) != count:
        raise Refused(f"it is torn: its central directory has {len(members)} members and says {count}")
    check_unpacked(sum(member.unpacked for member in members), size)
    return members


def read_member(file: BinaryIO, member: ZipMember) -> bytes:
    """Unpack a member of at most METADATA_LIMIT bytes.

    Raises: Refused where it is larger, torn, or its local header says another thing than the central directory.
    """
    if max(member.packed, member.unpacked) > METADATA_LIMIT:
        raise Refused(f"its {member.name} has {member.unpacked} bytes, the limit is {METADATA_LIMIT}")
    header = _LOCAL.unpack(_read(file, member.offset, _LOCAL.size))
    signature, method, name_size, extra_size = header[0], header[3], header[9], header[10]
    at = member.offset + _LOCAL.size
    if signature != b"PK\3\4" or method != member.method or _read(file, at, name_size) != member.raw_name:
        raise Refused(f"its central directory and its local header disagree about {member.name}")
    data = _read(file, at + name_size + extra_size, member.packed)
    if member.method == _DEFLATED:
        data = _inflate(data, member.name)
    elif member.method != _STORED:
        raise Refused(f"its {member.name} is compressed by method {member.method}; 0 and 8 can be read")
    if len(data) != member.unpacked or zlib.crc32(data) != member.crc:
        raise Refused(f"it is torn: its {member.name} is not as long, or not the same, as it says")
    return data


def _inflate(data: bytes, name: str) -> bytes:
    inflate = zlib.decompressobj(-15)
    try:
        plain = inflate.decompress(data, METADATA_LIMIT + 1)
    except zlib.error as error:
        raise Refused(f"it is torn: its {name} is no valid deflate stream: {error}") from None
    if len(plain) > METADATA_LIMIT:
        raise Refused(f"its {name} unpacks to more than {METADATA_LIMIT} bytes")
    return plain


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Find the central directory: (offset, bytes, members)."""
    tail_start = max(0, size - _END.size - _COMMENT_LIMIT)
    tail = _read(file, tail_start, size - tail_start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise Refused("it is no zip archive, or torn: the end of the central directory is missing")
    _, _, _, _, count, length, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise Refused("it is torn: bytes follow after the end of the zip archive")
    end = tail_start + at
    if count == _IN_EXTRA_16 or _IN_EXTRA_32 in (length, start):
        end -= _END_64_LOCATOR.size
        signature, _, where, _ = _END_64_LOCATOR.unpack(_read(file, end, _END_64_LOCATOR.size))
        if signature != b"PK\6\7":
            raise Refused("it is torn: the zip64 locator is missing")
        end = where
        record = _END_64.unpack(_read(file, end, _END_64.size))
        if record[0] != b"PK\6\6":
            raise Refused("it is torn: the zip64 end of the central directory is missing")
        count, length, start = record[7], record[8], record[9]
    if start + length != end:
        raise Refused("it has bytes before the zip archive or inside it that belong to nothing")
    return start, length, count


def _entries(directory: bytes) -> Iterator[ZipMember]:
    at = 0
    for _ in range(MEMBERS_LIMIT + 1):
        if at == len(directory):
            return
        if at + _ENTRY.size > len(directory):
            raise Refused("it is torn: an entry of the central directory is cut off")
        entry = _ENTRY.unpack_from(directory, at)
        signature, flags, method, crc, packed, unpacked = entry[0], entry[3], entry[4], entry[7], entry[8], entry[9]
        name_size, extra_size, comment_size, attributes, offset = *entry[10:13], entry[15], entry[16]
        name_end = at + _ENTRY.size + name_size
        extra_end = name_end + extra_size
        if signature != b"PK\1\2" or extra_end + comment_size > len(directory):
            raise Refused("it is torn: an entry of the central directory is broken")
        raw_name = directory[at + _ENTRY.size : name_end]
        name = raw_name.decode("utf-8", "backslashreplace")
        check_name(name)
        if flags & _ENCRYPTED:
            raise Refused(f"its member {name[:80]!r} is encrypted")
        if stat.S_IFMT(attributes >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Refused(f"its member {name[:80]!r} is a link or device, no file")
        extra = directory[name_end:extra_end]
        unpacked, packed, offset = _widen((unpacked, packed, offset), extra)
        yield ZipMember(name, raw_name, method, crc, packed, unpacked, offset)
        at = extra_end + comment_size


def _widen(numbers: tuple[int, int, int], extra: bytes) -> tuple[int, int, int]:
    """Take the numbers that do not fit into 32 bits from the zip64 field."""
    field = b""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            break
        at += 4 + length
    wide = []
    for number in numbers:
        if number == _IN_EXTRA_32:
            if len(field) < 8:
                raise Refused("it is torn: a zip64 field is missing")
            number, field = int.from_bytes(field[:8], "little"), field[8:]  # noqa: PLW2901
        wide.append(number)
    return wide[0], wide[1], wide[2]


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    # Offsets come from the file and may have 64 bits.
    if offset < 0 or offset >= 1 << 62:
        raise Refused("it is torn: it points outside itself")
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise Refused("it is torn: it ends too early")
    return data
