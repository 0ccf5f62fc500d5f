"""What all readers of compressed files share: the plain bytes are read or skipped, and counted against bombs."""

from typing import Protocol

from packrat_core.archives.limits import check_unpacked
from packrat_core.errors import Refused

READ_BYTES = 256 * 1024


class Readable(Protocol):
    """An open file, or a part of one."""

    def read(self, size: int, /) -> bytes:
        """Give so many bytes, fewer only at the end."""


class PlainStream:
    """The plain bytes of a compressed file; a subclass fills the buffer."""

    def __init__(self, file: Readable, limit: int | None = None) -> None:
        """With `limit`, more plain bytes than these are refused."""
        self._file = file
        self._limit = limit
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

    def drain(self) -> int:
        """Read to the end, and return the number of plain bytes that were left.

        Raises: Refused as for `read`.
        """
        size = 0
        while data := self.read(READ_BYTES):
            size += len(data)
        return size

    def _fill(self) -> bool:
        """Put the next plain bytes into the buffer; False at the end of the file."""
        raise NotImplementedError

    def _read_packed(self) -> bytes:
        data = self._file.read(READ_BYTES)
        self._packed += len(data)
        return data

    def _count(self) -> None:
        self._plain += len(self._buffer)
        if self._limit is not None and self._plain > self._limit:
            raise Refused(f"it unpacks to more than {self._limit} bytes")
        check_unpacked(self._plain, self._packed)
