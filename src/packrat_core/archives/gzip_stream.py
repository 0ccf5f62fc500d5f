"""Reads a gzip file sequentially, in bounded memory, and verifies its checksums.

zlib verifies the checksum and length at the end of each member. Zeros after the last member are padding; any other
bytes are refused.

Source: RFC 1952.
"""

import zlib

from packrat_core.archives.plain_stream import READ_BYTES, PlainStream, Readable
from packrat_core.errors import Damaged, Refused

GZIP_MAGIC = b"\x1f\x8b"

WITH_GZIP_HEADER = 31


class GzipStream(PlainStream):
    """The decompressed bytes of a gzip file."""

    def __init__(self, file: Readable, limit: int | None = None) -> None:
        super().__init__(file, limit)
        self._inflate = zlib.decompressobj(WITH_GZIP_HEADER)
        self._input = b""

    def _fill(self) -> bool:
        """Put the next decompressed bytes into the buffer; return False at the end of the file."""
        self._buffer, self._at = b"", 0
        # Neither the end of a member nor every piece of input gives plain bytes, so repeat until there are some.
        while not self._buffer:
            if not self._input and not self._read_input():
                return False
            if self._inflate.eof and not self._start_member():
                continue
            try:
                self._buffer = self._inflate.decompress(self._input, READ_BYTES)
            except zlib.error as error:
                raise Refused(f"it is not valid gzip: {error}") from None
            self._input = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._count()
        return True

    def _read_input(self) -> bool:
        self._input = self._read_packed()
        if not self._input and not self._inflate.eof:
            raise Damaged("it is damaged: the gzip stream has no end")
        return bool(self._input)

    def _start_member(self) -> bool:
        """Start the next gzip member; return False if the remaining input is only padding."""
        rest = self._input.lstrip(b"\0")
        self.padded = self.padded or len(rest) < len(self._input)
        self._input = rest
        if not rest:
            return False
        if self.padded:
            # Python reads further members after padding; GNU gzip and Go don't.
            raise Refused("it has bytes after the padding at the end of the gzip stream")
        self._inflate = zlib.decompressobj(WITH_GZIP_HEADER)
        return True


def check_gzip_payload(file: Readable) -> int:
    """Decompress a gzip file to its end and verify all its checksums.

    Returns:
        The number of decompressed bytes.

    Raises:
        Refused: The file is truncated, damaged or a decompression bomb.
    """
    return GzipStream(file).drain()
