"""Base class of the readers of compressed files: reads or skips plain bytes, and counts them to detect bombs."""

import time
from abc import ABC, abstractmethod
from typing import Protocol

from packrat_core.archives.limits import check_time, check_unpacked
from packrat_core.errors import Damaged, Refused

READ_BYTES = 256 * 1024


class Readable(Protocol):
    """An open file, or a part of one."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, or fewer at the end."""


class PlainStream(ABC):
    """The plain (decompressed) bytes of a compressed file; a subclass fills the buffer."""

    def __init__(self, file: Readable, limit: int | None = None) -> None:
        """Read from `file`; refuse more than `limit` plain bytes, if given."""
        self._file = file
        self._limit = limit
        self._packed = 0
        self._plain = 0
        self._buffer = b""
        self._at = 0
        self._cpu_s = 0.0
        self.padded = False
        """Whether zeros follow the compressed bytes; known at the end."""

    def read(self, size: int) -> bytes:
        """Return `size` plain bytes, or fewer at the end.

        Raises:
            Refused: The file is truncated, damaged or a decompression bomb.
        """
        # Fast path: the headers of an archive are small, and most reads fit into the buffer.
        end = self._at + size
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
            return data
        parts = []
        while size and (self._at < len(self._buffer) or self._fill_in_time()):
            part = self._buffer[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Skip `size` plain bytes.

        Raises:
            Refused: The stream ends earlier, or `read` would refuse the file.
        """
        while size > len(self._buffer) - self._at:
            size -= len(self._buffer) - self._at
            if not self._fill_in_time():
                raise Damaged("it is damaged: the compressed archive ends inside a member")
        self._at += size

    def drain(self) -> int:
        """Read to the end and return the number of plain bytes that were left.

        Raises:
            Refused: `read` would refuse the file.
        """
        size = 0
        while data := self.read(READ_BYTES):
            size += len(data)
        return size

    def _fill_in_time(self) -> bool:
        """Call `_fill` within the limit of processor time."""
        began_s = time.thread_time()
        filled = self._fill()
        self._cpu_s += time.thread_time() - began_s
        check_time(self._cpu_s, self._packed)
        return filled

    @abstractmethod
    def _fill(self) -> bool:
        """Put the next plain bytes into the buffer; return False at the end of the file."""

    def _read_packed(self) -> bytes:
        data = self._file.read(READ_BYTES)
        self._packed += len(data)
        return data

    def _count(self) -> None:
        self._plain += len(self._buffer)
        if self._limit is not None and self._plain > self._limit:
            raise Refused(f"it unpacks to more than {self._limit} bytes")
        check_unpacked(self._plain, self._packed)
