"""The rest of an open file, for a program that reads it as its standard input; it is never held in memory."""

from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True, slots=True)
class FileTail:
    """The bytes of a file from `start` on; the file is open without a buffer, and for this alone."""

    file: IO[bytes]
    start: int

    def rewind(self) -> IO[bytes]:
        """Give the file at the first of these bytes."""
        self.file.seek(self.start)
        return self.file
