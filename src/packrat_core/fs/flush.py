"""Makes files and renames durable, so that they survive a power failure."""

import ctypes
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.open import open_regular

_SYNCFS_FROM = 64
"""From this number of files or directories on, one syncfs(2) takes less time than an fsync(2) of each."""


def flush_directories(directories: Iterable[Path | str]) -> None:
    """Make renames in directories durable; many directories must be of one filesystem.

    Raises:
        DiskError: A directory can't be flushed.
    """
    waiting = {os.fspath(directory) for directory in directories}
    if len(waiting) >= _SYNCFS_FROM and _flush_filesystem(next(iter(waiting))):
        return
    for directory in sorted(waiting):
        with as_disk_error("flush", directory):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def flush_files(files: Sequence[Path | str]) -> None:
    """Make the content of files durable; many files must be of one filesystem.

    Raises:
        DiskError: A file can't be flushed.
    """
    if len(files) >= _SYNCFS_FROM and _flush_filesystem(Path(files[0]).parent):
        return
    for path in files:
        with as_disk_error("flush", path), open_regular(path) as file:
            os.fsync(file.fileno())


def _flush_filesystem(directory: Path | str) -> bool:
    """Flush the whole filesystem; False where this C library has no syncfs, or it fails."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    with as_disk_error("flush", directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return bool(syncfs(descriptor) == 0)
    finally:
        os.close(descriptor)
