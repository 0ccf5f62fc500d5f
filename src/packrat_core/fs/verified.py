"""Reads a file that is named by its SHA-256, and exactly those bytes, even if others can write to the file.

1. The file is opened once. What stands at its path later does not matter.
2. Nobody has it open to write, or mapped, when the hash begins; a filesystem without leases can't tell.
3. Its ctime, which no program can set, is the same at the end: nobody has written to it since.

    fragment = read_verified(staging / sha256, sha256, lambda opened: form.read(opened.path, into))

Source: fcntl(2), "Leases"; inode(7), "Last status change timestamp"; clock_getres(2), "CLOCK_REALTIME_COARSE".
"""

import errno
import fcntl
import hashlib
import os
import signal
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from packrat_core.errors import Incomplete
from packrat_core.fs.open import open_descriptor

T = TypeVar("T")

SMALL_BYTES = 256 * 1024
"""The content of files up to this size is held in memory while they are read."""
_TRIES = 5
_CLOCK_REALTIME_COARSE = 5
"""The clock of which the kernel takes a ctime: it stands still between two ticks, which are up to 10 ms apart."""
_SHORT_S = 0.0005
"""Part of a tick, so that little of the next one is lost."""


class OtherBytes(Incomplete):
    """A file has not, or no longer, the bytes that it is named by."""


class Opened(NamedTuple):
    """A file whose bytes were hashed a moment ago; a tuple, since one is made for each package file.

    descriptor: where it is open. status: what the system said of it before it was hashed. content: the bytes that were
    hashed, all of them, if they are few; else None.
    """

    descriptor: int
    status: os.stat_result
    content: bytes | None

    @property
    def path(self) -> Path:
        """Where it can be opened once more, whatever stands at its own path."""
        return _path_of(self.descriptor)


def read_verified(path: Path | str, sha256: str, read: Callable[[Opened], T]) -> T:
    """Read a file that has that SHA-256.

    Args:
        path: A regular file.
        sha256: In hex.
        read: Reads the file that it is given, and may be called again. What it gives for other bytes is thrown away.

    Returns:
        What `read` gave.

    Raises:
        OtherBytes: The file has another SHA-256, is gone or no regular file, the disk does not give it, or somebody
            goes on writing to it.
    """
    try:
        descriptor, status = open_descriptor(os.fspath(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        for _ in range(_TRIES):
            status = _wait_for_tick(descriptor, status)
            # Another name of the file that comes or goes changes its ctime, too.
            if not has_writer(descriptor):
                try:
                    digest, content = hash_descriptor(descriptor, status.st_size)
                except OSError as error:
                    raise _unreadable(path, error) from error
                if digest != sha256:
                    raise OtherBytes(f"{path} has other bytes than its SHA-256 says", hint="it is fetched again")
                result = read(Opened(descriptor, status, content))
                before, status = status, os.fstat(descriptor)
                if status.st_ctime_ns == before.st_ctime_ns:
                    return result
            else:
                status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    raise OtherBytes(f"somebody writes to {path} while it is read", hint="let no other program write below root_dir")


def _unreadable(path: Path | str, error: OSError) -> OtherBytes:
    return OtherBytes(f"{path} can't be read ({error.strerror})", hint="it is fetched again")


def hash_descriptor(descriptor: int, size: int) -> tuple[str, bytes | None]:
    """Hash an open file from its beginning; gives its bytes, too, if these are few.

    If the file has grown beyond `size`, one byte more is hashed, so that the hash differs.
    """
    if size <= SMALL_BYTES:
        # One byte more shows that it has grown.
        data = os.pread(descriptor, size + 1, 0)
        if len(data) == size:
            return hashlib.sha256(data).hexdigest(), data
    digest, buffer, at = hashlib.sha256(), memoryview(bytearray(SMALL_BYTES)), 0
    # A file that goes on growing would have no end.
    while at <= size and (count := os.preadv(descriptor, [buffer[: size + 1 - at]], at)):
        digest.update(buffer[:count])
        at += count
    return digest.hexdigest(), None


def has_writer(descriptor: int) -> bool:
    """Tell whether anybody has a file open to write, or mapped; False where the filesystem can't tell."""
    try:
        # A lease that is broken sends SIGIO, which would end the process; SIGURG does nothing by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def is_settled(ctime_ns: int) -> bool:
    """Tell whether a file that is written to from now on gets another ctime than this one."""
    # A ctime of the future is that of a clock that was wrong.
    return read_tick_ns() > ctime_ns or ctime_ns > time.time_ns()


def read_tick_ns() -> int:
    """Read the clock of which the kernel takes a ctime: what is written to from now on gets no earlier one."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def _wait_for_tick(descriptor: int, status: os.stat_result) -> os.stat_result:
    """Wait until a later write would change the ctime of a file.

    Args:
        descriptor: The open file.
        status: What the system said of it a moment ago.

    Returns:
        What it says now.
    """
    while not is_settled(status.st_ctime_ns):
        time.sleep(_SHORT_S)
        status = os.fstat(descriptor)
    return status


@lru_cache(maxsize=64)
def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")
