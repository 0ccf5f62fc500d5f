"""Checks that clients can unpack the tar archive of a layer, as its plain bytes go by.

Nearly all clients read it by Go's archive/tar, so what that can't read is refused: headers whose checksum or numbers
are wrong, broken pax records, members that are cut off, other kinds of members than the usual ones. What it reads in
its own way (bytes after the end mark, a missing end mark, names that lead out) is taken, since clients agree on it.

    layer = LayerTar()
    layer.feed(data)
    layer.finish()

Source: Go's archive/tar; containerd 1.6 and podman 4.3, which unpack the same kinds of members.
"""

import re

from packrat_core.archives.member_names import FILE_NAME_BYTES
from packrat_core.archives.tar_header import BLOCK, USUAL_DEVICE, USUAL_NUMBERS, checksum_of
from packrat_core.errors import Damaged, Refused

_WHITEOUT = b".wh."
"""How the name of a member begins that removes a file of the layers below; clients create none of this name."""
_EXTENDED_LIMIT = 1024 * 1024
"""Bytes of an extended header; Go reads no longer one."""
_ZEROS = bytes(BLOCK)
_HEADER_ONLY = frozenset(b"123456")
"""Kinds of members without bytes, whatever size they name: links, devices, directories, pipes."""
_V7_FILE, _FILE = 0, ord("0")
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_TARGET = b"xgLK"
_EXTENDED = frozenset({_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_TARGET})
_KINDS = _HEADER_ONLY | _EXTENDED | {_V7_FILE, _FILE}
_NUMBERS = (slice(100, 108), slice(108, 116), slice(116, 124), slice(136, 148))
"""Mode, user, group and time."""
_DEVICE_NUMBERS = (slice(329, 337), slice(337, 345))
_STAR_TIMES = (slice(476, 488), slice(488, 500))
_OCTAL, _DECIMAL = re.compile(rb"[0-7]+"), re.compile(rb"[+-]?[0-9]{1,18}")
_MOMENT = re.compile(rb"[+-]?[0-9]{1,18}(?:\.[0-9]*)?")
_LENGTH = re.compile(rb"([0-9]{1,9}) ")
_TEXTS = frozenset({b"path", b"linkpath", b"uname", b"gname"})
_PAX_NUMBERS = {
    **dict.fromkeys((b"size", b"uid", b"gid"), _DECIMAL),
    **dict.fromkeys((b"mtime", b"atime", b"ctime"), _MOMENT),
}


class LayerTar:
    """The tar archive of a layer, of which parts of any size come one after the other."""

    def __init__(self) -> None:
        self._rest = b""
        self._wanted = BLOCK
        self._skip = self._padding = 0
        self._zeros = 0
        """Blocks of zeros that were met; two end the archive."""
        self._reading = 0
        """Kind of the extended header whose bytes come next; 0 if a header does."""
        self._pax: dict[bytes, bytes] = {}
        self._long_name = b""

    def feed(self, data: bytes) -> None:
        """Go on with the next bytes of the archive.

        Raises:
            Refused: Clients can't unpack it.
        """
        data, at = self._rest + data, 0
        while self._zeros < 2:
            step = min(self._skip, len(data) - at)
            self._skip, at = self._skip - step, at + step
            if self._skip or len(data) - at < self._wanted:
                self._rest = data[at:]
                return
            piece, at = data[at : at + self._wanted], at + self._wanted
            self._wanted = BLOCK
            if self._reading:
                self._extend(piece)
            else:
                self._begin(piece)
        # Clients read no further.
        self._rest = b""

    def finish(self) -> None:
        """End the archive.

        Raises:
            Refused: It is cut off.
        """
        if self._rest or self._reading or self._skip > self._padding:
            raise Damaged("its tar archive is damaged: it ends inside a member")

    def _begin(self, block: bytes) -> None:
        if block == _ZEROS:
            self._zeros += 1
            return
        if self._zeros:
            raise Refused("it has a block of zeros inside its tar archive, where clients stop")
        size, kind = _size(block), block[156]
        if kind not in _KINDS:
            raise Refused(f"its tar archive has a member of the kind {chr(kind)!r}, which clients can't unpack")
        if kind in _EXTENDED:
            if not 0 <= size <= _EXTENDED_LIMIT:
                raise Refused(f"its tar archive has an extended header of {size} bytes, the limit is {_EXTENDED_LIMIT}")
            self._reading, self._wanted, self._padding = kind, size, -size % BLOCK
            return
        for key, allowed in _PAX_NUMBERS.items():
            if self._pax.get(key) and not allowed.fullmatch(self._pax[key]):
                raise _broken(f"{key.decode()} in an extended header is not a number")
        size = int(self._pax.get(b"size") or size)
        name = self._long_name or self._pax.get(b"path", b"")
        if len(name) > FILE_NAME_BYTES and _longest_part(name) > FILE_NAME_BYTES:
            raise Refused(f"its tar archive has a name of more than {FILE_NAME_BYTES} bytes: {name[:60]!r}")
        self._pax, self._long_name = {}, b""
        is_directory = kind == _V7_FILE and (name or block[:100].partition(b"\0")[0]).endswith(b"/")
        if kind in _HEADER_ONLY or is_directory:
            size = 0
        if size < 0:
            raise _broken("a size is negative")
        self._padding = -size % BLOCK
        self._skip = size + self._padding

    def _extend(self, data: bytes) -> None:
        kind, self._reading = self._reading, 0
        self._skip = self._padding
        if kind == _GNU_NAME:
            self._long_name = data.partition(b"\0")[0]
        elif kind == _PAX:
            self._pax = _read_pax(data)
        elif kind == _PAX_GLOBAL:
            _read_pax(data)
            self._pax, self._long_name = {}, b""


def _longest_part(name: bytes) -> int:
    """Return the bytes of the longest part of a path, of those that clients create or remove."""
    *directories, last = name.rstrip(b"/").split(b"/")
    return max(map(len, (*directories, last.removeprefix(_WHITEOUT))))


def _size(block: bytes) -> int:
    """Return the size that a header names.

    Raises:
        Refused: Its checksum or one of its numbers is wrong.
    """
    usual = USUAL_NUMBERS.fullmatch(block, 100, 156)
    found = checksum_of(block)
    is_star = block[257:263] == b"ustar\0" and block[508:] == b"tar\0"
    if usual is not None and int(usual[2], 8) == found and block[329:345] in USUAL_DEVICE and not is_star:
        return int(usual[1], 8)
    # Some writers added up signed bytes.
    signed = found - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
    if _octal(block[148:156]) not in (found, signed):
        raise _broken("the checksum of a header is wrong")
    fields = list(_NUMBERS)
    if block[257:263] == b"ustar\0" or block[257:265] == b"ustar  \0":
        fields += _DEVICE_NUMBERS
    if is_star:
        fields += _STAR_TIMES
    for field in fields:
        _number(block[field])
    return _number(block[124:136])


def _number(field: bytes) -> int:
    if not field[0] & 0x80:
        return _octal(field)
    # In base 256: the first bit says so, the second one is the sign.
    width = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << width) - 1)
    if field[0] & 0x40:
        value -= 1 << width
    if not -(1 << 63) <= value < 1 << 63:
        raise _broken("a number in a header is too large")
    return value


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0").partition(b"\0")[0]
    if digits and not _OCTAL.fullmatch(digits):
        raise _broken("a number in a header is not octal")
    return int(digits or b"0", 8)


def _read_pax(data: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        length = _LENGTH.match(data, at)
        end = at + int(length[1]) if length is not None else 0
        if length is None or not length.end() < end <= len(data) or data[end - 1] != ord("\n"):
            raise _broken("an extended header is broken")
        key, equals, value = data[length.end() : end - 1].partition(b"=")
        if not key or not equals or b"\0" in (value if key in _TEXTS else key):
            raise _broken("an extended header is broken")
        records[key], at = value, end
    return records


def _broken(fault: str) -> Refused:
    return Refused(f"its bytes are not a tar archive that clients can read: {fault}")
