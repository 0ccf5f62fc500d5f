"""The sources that a tar archive can be read from: an open file, a part of one, or a decompressed stream."""

import os
from typing import BinaryIO, Protocol

from packrat_core.errors import Damaged


class Source(Protocol):
    """A source of the bytes of a tar archive: a PlainStream, FileSource or SectionSource."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, or fewer at the end."""

    def skip(self, size: int, /) -> None:
        """Skip `size` bytes.

        Raises:
            Refused: There are fewer.
        """


class FileSource:
    """An open file that is an uncompressed tar archive; payload is skipped without reading it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, os.SEEK_END)
        self._at = file.seek(0)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        data = self._file.read(size)
        self._at += len(data)
        return data

    def skip(self, size: int) -> None:
        """Skip `size` bytes.

        Raises:
            Refused: The file ends earlier.
        """
        if size > self._end - self._at:
            raise Damaged("it is damaged: a tar member is cut off")
        if size:
            self._at = self._file.seek(self._at + size)


class SectionSource:
    """A part of an open file; payload is skipped without reading it."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._at = start
        self._end = start + size

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        self._file.seek(self._at)
        data = self._file.read(min(size, self._end - self._at))
        self._at += len(data)
        return data

    def skip(self, size: int) -> None:
        """Skip `size` bytes.

        Raises:
            Refused: The part ends earlier.
        """
        if size > self._end - self._at:
            raise Damaged("it is damaged: a tar member is cut off")
        self._at += size
