"""Reads a .tar.gz once from front to back, holding no more of it than one small member.

Takes: an open .tar.gz.
Gives: its members; the bytes of one while it is at hand.
Touches: the file.

Source: POSIX.1-2017 pax, ustar; GNU tar manual, "Basic Tar Format"; RFC 1952.
"""

import posixpath
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from packrat_agent.formats.pypi.bounds import METADATA_LIMIT, check_count, check_name, check_target, check_unpacked
from packrat_core.errors import Refused

_BLOCK = 512
_READ_BYTES = 256 * 1024
_HEADER_LIMIT = 1024 * 1024
"""Bytes of an extended header."""

_FILES, _HARD_LINK, _SYMBOLIC_LINK, _DIRECTORY = b"0\x007", b"1", b"2", b"5"
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"
_PAX_KEPT = frozenset({b"path", b"linkpath", b"size"})
_PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]{1,200})=", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member; `is_file` False for directories and links."""

    name: str
    size: int
    is_file: bool


class TarGz:
    """The members of a .tar.gz, read one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._plain = _Unpacked(file)
        self._left = 0
        self._padding = 0

    def members(self) -> Iterator[TarMember]:
        """Walk to the end of the archive.

        Raises: Refused where it is torn, has a member that could harm a client, or is a bomb.
        """
        count = 0
        extended: dict[bytes, bytes] = {}
        while (header := self._next_header()) is not None:
            count += 1
            check_count(count)
            kind, size = header[156:157], _number(header[124:136])
            if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK):
                extended |= self._extended(kind, size)
                continue
            member = _member(header, kind, size, extended)
            extended = {}
            self._begin(member.size)
            yield member
        if not count:
            raise Refused("it is no tar archive, or an empty one")
        self._plain.drain()

    def read(self) -> bytes:
        """Give the bytes of the member at hand.

        Raises: Refused where they are more than METADATA_LIMIT.
        """
        if self._left > METADATA_LIMIT:
            raise Refused(f"a member of {self._left} bytes, the limit is {METADATA_LIMIT}")
        data = self._plain.take(self._left)
        self._left = 0
        return data

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % _BLOCK

    def _next_header(self) -> bytes | None:
        self._plain.skip(self._left + self._padding)
        self._begin(0)
        header = self._plain.take(_BLOCK)
        if not header.strip(b"\0"):
            return None
        # The sum of the header's bytes with the sum itself taken as blanks.
        if sum(header) - sum(header[148:156]) + 8 * 0x20 != _number(header[148:156]):
            raise Refused("it is torn: the checksum of a tar header is wrong")
        return header

    def _extended(self, kind: bytes, size: int) -> dict[bytes, bytes]:
        if size > _HEADER_LIMIT:
            raise Refused(f"it has an extended tar header of {size} bytes, the limit is {_HEADER_LIMIT}")
        self._begin(size)
        data = self.read()
        if kind == _GNU_NAME:
            return {b"path": data.rstrip(b"\0")}
        if kind == _GNU_LINK:
            return {b"linkpath": data.rstrip(b"\0")}
        records = _pax_records(data)
        if kind == _PAX_GLOBAL:
            if records:
                raise Refused("it has a global tar header that names files")
            return {}
        return records


class _Unpacked:
    """The plain bytes of a gzip file of one or more members."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(31)
        self._waiting = b""
        self._buffer = b""
        self._packed = 0
        self._plain = 0

    def take(self, size: int) -> bytes:
        """Give exactly so many bytes, which are few."""
        while len(self._buffer) < size:
            if not (more := self._more()):
                raise Refused("it is torn: the archive ends inside a member")
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        while size > len(self._buffer):
            size -= len(self._buffer)
            self._buffer = self._more()
            if not self._buffer:
                raise Refused("it is torn: the archive ends inside a member")
        self._buffer = self._buffer[size:]

    def drain(self) -> None:
        """Read to the end of the file: its last checksum, and that nothing but zeros follows."""
        while self._buffer:
            if self._buffer.strip(b"\0"):
                raise Refused("it has bytes after the end of the tar archive")
            self._buffer = self._more()

    def _more(self) -> bytes:
        """Give the next bytes, b"" at the end of the file."""
        while True:
            if self._inflate.eof:
                self._waiting = self._waiting.lstrip(b"\0")
            if not self._waiting:
                self._waiting = self._file.read(_READ_BYTES)
                self._packed += len(self._waiting)
                if self._waiting:
                    continue
                if self._inflate.eof:
                    return b""
                raise Refused("it is torn: the gzip stream has no end")
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(31)
            try:
                plain = self._inflate.decompress(self._waiting, _READ_BYTES)
            except zlib.error as error:
                raise Refused(f"it is no valid gzip: {error}") from None
            self._waiting = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._plain += len(plain)
            check_unpacked(self._plain, self._packed)
            if plain:
                return plain


def _member(header: bytes, kind: bytes, size: int, extended: dict[bytes, bytes]) -> TarMember:
    name = _text(extended.get(b"path") or _name(header))
    check_name(name)
    name = posixpath.normpath(name)
    if b"size" in extended:
        if not extended[b"size"].isdigit() or len(extended[b"size"]) > 15:
            raise Refused(f"it is torn: the size of {name[:80]!r} is no number")
        size = int(extended[b"size"])
    if kind in (_HARD_LINK, _SYMBOLIC_LINK):
        target = _text(extended.get(b"linkpath") or header[157:257].partition(b"\0")[0])
        check_target(target, posixpath.dirname(name) if kind == _SYMBOLIC_LINK else "")
        return TarMember(name, 0, is_file=False)
    if kind == _DIRECTORY:
        return TarMember(name, 0, is_file=False)
    if kind not in (b"0", b"\0", b"7"):
        raise Refused(f"its member {name[:80]!r} is a device or of an unknown kind, no file")
    # In archives before ustar a directory is a file whose name ends with a slash.
    is_file = not (kind == b"\0" and _name(header).endswith(b"/"))
    return TarMember(name, size if is_file else 0, is_file)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":
        number = int.from_bytes(field[1:], "big")
        if number >= 1 << 50:
            raise Refused("it is torn: a tar member is larger than any file")
        return number
    digits = field.strip(b" \0")
    if any(digit not in b"01234567" for digit in digits):
        raise Refused("it is torn: a number in a tar header is none")
    return int(digits or b"0", 8)


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 0:
        match = _PAX_RECORD.match(data, at)
        end = at + int(match[1]) if match is not None else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise Refused("it is torn: an extended tar header is broken")
        if match[2].startswith(b"GNU.sparse"):
            raise Refused("it has a sparse file in it")
        if match[2] in _PAX_KEPT:
            records[match[2]] = data[match.end() : end - 1]
        at = end
    return records
