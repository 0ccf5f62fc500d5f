"""Reads the archive in an rpm as rpm does: sizes in the rpm's header say where each member ends.

1. A member begins at a multiple of four bytes, with its name (magic 070701 or 070702) or with the number of its file in
   the rpm's header (07070X, where a file has 4 GB or more). The caller says how many bytes of content it has.
2. What a member says of its content counts for symbolic links, and for files that rpm skips.
3. The archive ends with a member called `TRAILER!!!`, or with the number -1. What follows it is not read.

    archive = CpioArchive(stream)
    while (member := archive.next_member()) is not None:
        archive.read_content(sizes[member.name])

Source: cpio(5), the new ASCII format; rpm's lib/cpio.c.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from packrat_core.archives.plain_stream import READ_BYTES, PlainStream
from packrat_core.errors import Refused

_MAGIC_BYTES = 6
_NAMED = (b"070701", b"070702")
_NUMBERED = b"07070X"
_FIELD_BYTES = 8
_NAMED_BYTES = 13 * _FIELD_BYTES
_SIZE_AT, _NAME_SIZE_AT = 6 * _FIELD_BYTES, 11 * _FIELD_BYTES
_NAME_LIMIT = 4096
_TRAILER = b"TRAILER!!!"
_LAST_NUMBER = 0xFFFFFFFF
_ALIGNMENT = 4
_HEX = re.compile(rb" *[0-9A-Fa-f]+")


class Member(NamedTuple):
    """A member of the archive: the name that it has, or, if that is empty, the number of its file.

    size: how many bytes of content the archive says that it has; None if it doesn't say so.
    """

    name: bytes
    number: int
    size: int | None


class CpioArchive:
    """The members of an archive, one after the other."""

    def __init__(self, stream: PlainStream) -> None:
        """Read from the beginning of `stream`."""
        self._stream = stream
        self._at = 0

    def next_member(self) -> Member | None:
        """Read the next member's header, where the content of the one before it has been read; None at the end.

        Raises:
            Refused: rpm finds no member here.
        """
        self._pad()
        magic = self._read(_MAGIC_BYTES)
        if magic == _NUMBERED:
            number = _number(self._read(_FIELD_BYTES))
            self._pad()
            return None if number == _LAST_NUMBER else Member(b"", number, None)
        if magic not in _NAMED:
            raise Refused(f"it has {magic!r} where a member should begin")
        fields = self._read(_NAMED_BYTES)
        size = _number(fields[_SIZE_AT : _SIZE_AT + _FIELD_BYTES])
        name_size = _number(fields[_NAME_SIZE_AT : _NAME_SIZE_AT + _FIELD_BYTES])
        if not 0 < name_size <= _NAME_LIMIT:
            raise Refused(f"it has a member with a name of {name_size} bytes; rpm reads up to {_NAME_LIMIT}")
        name = self._read(name_size).partition(b"\0")[0]
        self._pad()
        return None if name == _TRAILER else Member(name, -1, size)

    def read_content(self, size: int) -> Iterator[bytes]:
        """Read the content of the member that was read last, in pieces.

        Raises:
            Refused: the archive ends earlier.
        """
        while size:
            data = self._read(min(size, READ_BYTES))
            size -= len(data)
            yield data

    def skip_content(self, size: int) -> None:
        """Skip the content of the member that was read last.

        Raises:
            Refused: the archive ends earlier.
        """
        self._stream.skip(size)
        self._at += size

    def _pad(self) -> None:
        padding = -self._at % _ALIGNMENT
        if padding:
            self._read(padding)

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise Refused("it ends before its last member")
        self._at += size
        return data


def _number(field: bytes) -> int:
    if not _HEX.fullmatch(field):
        raise Refused(f"it has a member with {field!r} where a number should be")
    return int(field, 16)
