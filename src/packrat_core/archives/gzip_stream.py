"""Reads a gzip file from front to back, in little memory, down to its last checksum.

Takes: an open gzip file of one or more members.
Gives: the plain bytes.
Touches: the file.

Source: RFC 1952. zlib checks the checksum and length that end each member; zeros after the last member are padding,
anything else is refused.
"""

import zlib
from typing import BinaryIO

from packrat_core.archives.limits import check_unpacked
from packrat_core.errors import Refused

GZIP_MAGIC = b"\x1f\x8b"

_READ_BYTES = 256 * 1024
_WITH_GZIP_HEADER = 31


class GzipStream:
    """The plain bytes of a gzip file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(_WITH_GZIP_HEADER)
        self._input = b""
        self._padded = False
        self._packed = 0
        self._plain = 0
        self._buffer = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Give so many bytes, fewer only at the end.

        Raises: Refused where the file is torn, damaged or a bomb.
        """
        end = self._at + size
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
            return data
        parts = []
        while size and (self._at < len(self._buffer) or self._fill()):
            part = self._buffer[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Pass over so many bytes.

        Raises: Refused where the stream ends earlier, or as for `read`.
        """
        while size > len(self._buffer) - self._at:
            size -= len(self._buffer) - self._at
            if not self._fill():
                raise Refused("it is torn: the compressed archive ends inside a member")
        self._at += size

    def _fill(self) -> bool:
        """Put the next plain bytes into the buffer; False at the end of the file."""
        self._buffer, self._at = b"", 0
        while not self._buffer:
            if not self._input and not self._read_input():
                return False
            if self._inflate.eof and not self._start_member():
                continue
            try:
                self._buffer = self._inflate.decompress(self._input, _READ_BYTES)
            except zlib.error as error:
                raise Refused(f"it is no valid gzip: {error}") from None
            self._input = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._plain += len(self._buffer)
            check_unpacked(self._plain, self._packed)
        return True

    def _read_input(self) -> bool:
        self._input = self._file.read(_READ_BYTES)
        self._packed += len(self._input)
        if not self._input and not self._inflate.eof:
            raise Refused("it is torn: the gzip stream has no end")
        return bool(self._input)

    def _start_member(self) -> bool:
        """Begin the next gzip member, if more than padding is left of the input."""
        rest = self._input.lstrip(b"\0")
        self._padded = self._padded or len(rest) < len(self._input)
        self._input = rest
        if not rest:
            return False
        if self._padded:
            # Python reads on after padding, GNU gzip and Go don't.
            raise Refused("it has bytes after the padding at the end of the gzip stream")
        self._inflate = zlib.decompressobj(_WITH_GZIP_HEADER)
        return True


def check_gzip_payload(file: BinaryIO) -> int:
    """Decompress a gzip file to its end and check all its checksums.

    Returns:
        The number of plain bytes.

    Raises:
        Refused: it is torn, damaged or a bomb.
    """
    stream = GzipStream(file)
    size = 0
    while data := stream.read(_READ_BYTES):
        size += len(data)
    return size
