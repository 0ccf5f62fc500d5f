"""Where the bytes of a tar archive come from: an open file, or whatever can be read and skipped likewise.

Takes: an open file of a plain tar archive.
Gives: its bytes, in order.
Touches: the file.
"""

import os
from typing import BinaryIO, Protocol

from packrat_core.errors import Refused


class Source(Protocol):
    """Where the bytes of a tar archive come from: GzipStream, or FileSource."""

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
