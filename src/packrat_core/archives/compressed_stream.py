"""Reads an xz, zstd, bzip2 or lzma file sequentially, in bounded memory, and verifies its checksums.

By default the file must be a single stream, since dpkg reads only one. With `several`, further streams may follow it,
as parallel compressors write them. Any other bytes after a stream, except zeros at the end, are refused; with `several`
also zeros that the program of this compression takes for damage.

    for member in TarReader(open_compressed(file, "xz")):
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from backports import zstd

from packrat_core.archives.gzip_stream import WITH_GZIP_HEADER, GzipStream
from packrat_core.archives.plain_stream import READ_BYTES, PlainStream, Readable
from packrat_core.errors import Damaged, Refused

_MEMORY_LIMIT = 256 * 1024 * 1024
"""Memory limit in bytes of an xz or lzma decompressor; `xz -9` needs 65 MiB."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


_DECOMPRESSORS: Mapping[str, Callable[[int], _Decompressor]] = {
    "xz": lambda limit: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limit),
    "lzma": lambda limit: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=limit),
    "zstd": lambda _: zstd.ZstdDecompressor(),
    "bzip2": lambda _: bz2.BZ2Decompressor(),
}

_PADDING_UNIT: Mapping[str, int] = {"xz": 4, "bzip2": 1}
"""Zeros behind a stream come in so many; xz refuses any other number, and zstd all of them."""

_ERRORS = (lzma.LZMAError, zstd.ZstdError, OSError, MemoryError)


def open_compressed(
    file: Readable,
    coding: str,
    limit: int | None = None,
    *,
    several: bool = False,
    memory_limit: int = _MEMORY_LIMIT,
) -> PlainStream:
    """Open a compressed file.

    Args:
        file: The compressed bytes.
        coding: `gzip`, `xz`, `zstd`, `bzip2` or `lzma`.
        limit: Maximum number of decompressed bytes, in addition to the limits of all archives; None for no extra limit.
        several: Accept several streams, one after the other; gzip may always have several members.
        memory_limit: Bytes that a decompressor of xz or lzma may use.

    Returns:
        The stream of decompressed bytes.
    """
    if coding == "gzip":
        return GzipStream(file, limit)
    return CompressedStream(file, coding, limit, several=several, memory_limit=memory_limit)


def unpack_at_once(packed: bytes, coding: str, limit: int) -> bytes | None:
    """Unpack a few bytes in one step, where they are one sound stream and nothing else.

    Args:
        packed: All of the compressed bytes; so few that no stream of this size takes long.
        coding: As that of `open_compressed`.
        limit: The largest number of decompressed bytes.

    Returns:
        What the stream of `open_compressed` gives; None where that has to say what is wrong, or has more bytes.
    """
    decompressor = zlib.decompressobj(WITH_GZIP_HEADER) if coding == "gzip" else _DECOMPRESSORS[coding](_MEMORY_LIMIT)
    try:
        # One byte more shows that there is more.
        plain = decompressor.decompress(packed, limit + 1)
    except (zlib.error, *_ERRORS):
        return None
    return plain if decompressor.eof and not decompressor.unused_data and len(plain) <= limit else None


class CompressedStream(PlainStream):
    """The decompressed bytes of a file of one compressed stream, or of several."""

    def __init__(
        self,
        file: Readable,
        coding: str,
        limit: int | None = None,
        *,
        several: bool = False,
        memory_limit: int = _MEMORY_LIMIT,
    ) -> None:
        super().__init__(file, limit)
        self._coding = coding
        self._several = several
        self._memory_limit = memory_limit
        self._decompressor = _DECOMPRESSORS[coding](memory_limit)
        self._input = b""
        self._ended = False

    def _fill(self) -> bool:
        self._buffer, self._at = b"", 0
        # Decompressors may consume input without giving output, so one round may leave the buffer empty.
        while not self._buffer:
            if self._ended or (self._decompressor.eof and not self._start_next()):
                self._ended = True
                return False
            # Output is bounded by READ_BYTES: what the last input still holds is taken before more is read.
            data, self._input = self._input, b""
            if not data and self._decompressor.needs_input:
                data = self._read_packed()
                if not data:
                    raise Damaged(f"it is damaged: the {self._coding} stream has no end")
            try:
                self._buffer = self._decompressor.decompress(data, READ_BYTES)
            except _ERRORS as error:
                raise Refused(f"it is not valid {self._coding}: {error}") from None
            self._count()
        return True

    def _start_next(self) -> bool:
        """Start the next stream; return False if nothing or only zeros follow the last one.

        Raises:
            Refused: Other bytes follow it, or zeros that clients refuse.
        """
        rest = self._decompressor.unused_data or self._read_packed()
        zeros = 0
        while rest:
            begin = rest.lstrip(b"\0")
            zeros += len(rest) - len(begin)
            self.padded = self.padded or zeros > 0
            if begin:
                # xz has padding between streams; other tools stop reading there.
                if not self._several or (self.padded and self._coding != "xz"):
                    raise Refused(f"it has bytes after the end of the {self._coding} stream")
                self._check_zeros(zeros)
                self._input = begin
                self._decompressor = _DECOMPRESSORS[self._coding](self._memory_limit)
                return True
            rest = self._read_packed()
        self._check_zeros(zeros)
        return False

    def _check_zeros(self, count: int) -> None:
        # What is read as one stream, as dpkg does, ends with the stream.
        unit = _PADDING_UNIT.get(self._coding)
        if self._several and count and (unit is None or count % unit):
            raise Refused(f"it has zeros after the end of the {self._coding} stream, which clients refuse")
