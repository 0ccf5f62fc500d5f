"""Parses one 512-byte header of a tar archive, and the records of a pax extended header.

Python's tarfile, GNU tar and Go's archive/tar read damaged headers differently, and tarfile treats a header that it
can't read as the end of the archive. Every field that one of them reads must therefore be valid.

Source: POSIX.1-2017 pax and ustar; GNU tar manual, "Basic Tar Format"; star(5).
"""

import re
import zlib
from typing import NamedTuple

from packrat_core.errors import Damaged, Refused

BLOCK = 512

_USTAR = b"ustar\0"
_STAR_TRAILER = b"tar\0"
_SIZE_LIMIT = 1 << 50
_PAX_KEPT = frozenset({b"path", b"linkpath", b"size"})
_PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]{1,200})=", re.DOTALL)

_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
# Mode, user, group, size, time and checksum in the form that nearly all writers use.
USUAL_NUMBERS = re.compile(rb"(?:[0-7]{7}[ \0]){3}([0-7]{11})[ \0][0-7]{11}[ \0]([0-7]{6})[ \0]{2}")
USUAL_DEVICE = frozenset({bytes(16), b"0000000\0" * 2, b"0000000 " * 2, b"000000 \0" * 2})
_UNUSED_NUMBERS = (slice(100, 108), slice(108, 116), slice(116, 124), slice(136, 148), slice(329, 337), slice(337, 345))


class TarHeader(NamedTuple):
    """The relevant fields of one header, undecoded; `name_field` is the name without the ustar prefix.

    A tuple, since an archive may have 200,000.
    """

    kind: bytes
    size: int
    name: bytes
    name_field: bytes
    target: bytes


def parse_header(block: bytes) -> TarHeader:
    """Parse a header of 512 bytes.

    Raises:
        Refused: Its checksum is wrong, a number is unreadable, or clients would read its name differently.
    """
    size, checksum = _numbers(block)
    if checksum != checksum_of(block):
        raise Damaged("it is not a tar file, or damaged: the checksum of a tar header is wrong")
    name_field = block[:100].partition(b"\0")[0]
    name = name_field
    if block[345]:
        _check_prefix(block)
        name = block[345:500].partition(b"\0")[0] + b"/" + name_field
    return TarHeader(block[156:157], size, name, name_field, block[157:257].partition(b"\0")[0])


def parse_pax(data: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax extended header that give the member's name, link target or size.

    Raises:
        Refused: A record is broken, or the header describes a sparse file.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        match = _PAX_RECORD.match(data, at)
        end = at + int(match[1]) if match is not None else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise Damaged("it is damaged: an extended tar header is broken")
        keyword, value = match[2], data[match.end() : end - 1]
        if keyword.startswith(b"GNU.sparse"):
            raise Refused("it has a sparse file in it")
        if keyword in _PAX_KEPT:
            # Python accepts an empty value, Go ignores the record.
            if not value:
                raise Damaged(f"it is damaged: an extended tar header has an empty {keyword.decode()}")
            records[keyword] = value
        at = end
    return records


def parse_pax_size(value: bytes) -> int:
    """Parse the size in a pax record.

    Raises:
        Refused: The value is not a size, or larger than any file.
    """
    if not value.isdigit() or len(value) > 16 or int(value) >= _SIZE_LIMIT:
        raise Damaged(f"it is damaged: the size in an extended tar header is {value[:40]!r}")
    return int(value)


def _numbers(block: bytes) -> tuple[int, int]:
    """Return size and checksum, after checking all other numbers."""
    # Fast path: one match covers all fields if they have the usual form.
    match = USUAL_NUMBERS.fullmatch(block, 100, 156)
    if match is not None and block[329:345] in USUAL_DEVICE:
        return int(match[1], 8), int(match[2], 8)
    for field in _UNUSED_NUMBERS:
        # Times before 1970 and large ids are in base-256, which starts with one of these bytes.
        if block[field][0] not in (0x80, 0xFF):
            _octal(block[field])
    return _size(block[124:136]), _octal(block[148:156])


def _size(field: bytes) -> int:
    if field[0] != 0x80:
        return _octal(field)
    number = int.from_bytes(field[1:], "big")
    if number >= _SIZE_LIMIT:
        raise Damaged("it is damaged: a tar member is larger than any file")
    return number


def _octal(field: bytes) -> int:
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise Damaged("it is not a tar file, or damaged: a number in a tar header is not octal")
    return int(match[1] or b"0", 8)


def checksum_of(block: bytes) -> int:
    """Add up the bytes of the header, counting the checksum field itself as blanks."""
    # The low half of Adler-32 is 1 + the sum of the bytes modulo 65521. The sum of 256 bytes stays below that, and
    # Adler-32 is ten times as fast as sum().
    halves = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    return halves - sum(block[148:156]) + 8 * 0x20


def _check_prefix(block: bytes) -> None:
    """Refuse a name prefix that only some readers see."""
    # Old GNU archives store times here, which tarfile takes for a prefix.
    if block[257:263] != _USTAR:
        raise Refused("it has a tar header that is not ustar, and has bytes where ustar has a part of the name")
    # In the format of star the prefix is shorter and followed by times.
    if block[508:512] == _STAR_TRAILER and 0 not in block[345:476]:
        raise Refused("it has a tar header of star whose name can be read in two ways")
