"""Where the bytes of a tar archive come from: an open file, or whatever can be read and skipped likewise."""

import os
from typing import BinaryIO, Protocol

from packrat_core.errors import Refused


class Source(Protocol):
    """Where the bytes of a tar archive come from: a PlainStream, FileSource, or SectionSource."""

    def read(self, size: int, /) -> bytes:
        """Give so many bytes, fewer only at the end."""

    def skip(self, size: int, /) -> None:
        """Pass over so many bytes; Refused where there are fewer."""


class FileSource:
    """An open file of a plain tar archive; payload is skipped without reading it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, os.SEEK_END)
        self._at = file.seek(0)

    def read(self, size: int) -> bytes:
        """Give so many bytes, fewer only at the end."""
        data = self._file.read(size)
        self._at += len(data)
        return data

    def skip(self, size: int) -> None:
        """Raises: Refused where the file ends earlier."""
        if size > self._end - self._at:
            raise Refused("it is torn: a tar member is cut off")
        if size:
            self._at = self._file.seek(self._at + size)


class SectionSource:
    """A part of an open file; payload is skipped without reading it."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._at = start
        self._end = start + size

    def read(self, size: int) -> bytes:
        """Give so many bytes, fewer only at the end."""
        self._file.seek(self._at)
        data = self._file.read(min(size, self._end - self._at))
        self._at += len(data)
        return data

    def skip(self, size: int) -> None:
        """Raises: Refused where the part ends earlier."""
        if size > self._end - self._at:
            raise Refused("it is torn: a tar member is cut off")
        self._at += size
