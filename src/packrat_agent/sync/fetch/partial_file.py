"""A file that is being downloaded into staging: resumed, hashed and flushed as its bytes arrive."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.free_space import keep_room

_READ_BYTES = 1 << 20
_ROOM_STEP = 1 << 20
"""After each step of this many bytes, a download looks whether there is room for more."""
FLUSH_BYTES = 16 * 1024 * 1024
"""A download is flushed to disk each time that this many more bytes of it have arrived."""


def _started_at() -> float:
    """Say when this machine started, in epoch seconds."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def closing(output: BinaryIO, path: Path) -> Iterator[None]:
    """Close a file at the end; bytes that it still buffers, since the disk was full, are tried once more then.

    Raises:
        DiskError: It can't be written.
    """
    try:
        yield
    finally:
        with as_disk_error("write", path):
            output.close()


class PartialFile:
    """A partly downloaded file, with the hash of its content."""

    def __init__(self, output: BinaryIO, path: Path) -> None:
        self._output = output
        self._path = path
        self._digest = hashlib.sha256()
        self._flushed = 0
        self.size = 0
        self.validator: str | None = None
        """Validator of the server's file that the bytes came from; None if unknown."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, in hex."""
        return self._digest.hexdigest()

    @property
    def is_flush_due(self) -> bool:
        """Whether the content has reached the next multiple of FLUSH_BYTES."""
        return self.size // FLUSH_BYTES > self._flushed // FLUSH_BYTES

    def flush(self) -> None:
        """Make the content durable; a later loss of power leaves it as it is.

        Raises:
            DiskError: The disk failed.
        """
        with as_disk_error("flush", self._path):
            self._output.flush()
            os.fdatasync(self._output.fileno())
        self._flushed = self.size

    def take_what_is_there(self) -> None:
        """Hash the content that an earlier process left, without what a loss of power may have spoiled."""
        status = os.fstat(self._output.fileno())
        if status.st_mtime < _started_at():
            # The machine went down since, and what was not flushed may be zeros, or of any other content.
            self._output.truncate((status.st_size - 1) // FLUSH_BYTES * FLUSH_BYTES)
        while chunk := self._output.read(_READ_BYTES):
            self._digest.update(chunk)
            self.size += len(chunk)
        self._flushed = self.size

    def is_of(self, validator: str | None) -> bool:
        """Return whether the bytes may be from the file that the server has now."""
        return self.size == 0 or self.validator is None or validator is None or self.validator == validator

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._digest.update(chunk)
        with as_disk_error("write", self._path):
            if self.size // _ROOM_STEP != (self.size + len(chunk)) // _ROOM_STEP:
                keep_room(self._path.parent)
            self._output.write(chunk)
            # What stays in this process's buffer is lost when it is killed.
            self._output.flush()
        self.size += len(chunk)

    def restart(self) -> None:
        """Empty the file and start again."""
        self._digest = hashlib.sha256()
        self.size = self._flushed = 0
        self.validator = None
        with as_disk_error("write", self._path):
            self._output.seek(0)
            self._output.truncate()
