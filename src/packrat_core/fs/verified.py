"""Reads a file that is named by its SHA-256, so that what is read are those very bytes, whoever may write to the file.

1. The file is opened once. What stands at its path later does not matter.
2. Nobody has it open to write, or mapped, when the hash begins; a filesystem without leases can't tell.
3. Its ctime, which no program can set, is the same at the end: nobody has written to it since.

    fragment = read_verified(staging / sha256, sha256, lambda path: form.read(path, into))

Source: fcntl(2), "Leases"; inode(7), "Last status change timestamp".
"""

import errno
import fcntl
import hashlib
import os
import signal
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TypeVar

from packrat_core.errors import Incomplete
from packrat_core.fs.open import open_unbuffered

T = TypeVar("T")

_SMALL_BYTES = 256 * 1024
_TRIES = 5
_TICK_NS = 11_000_000
"""Two writes within one tick of the kernel's clock, at most 10 ms, may leave the same ctime."""


class OtherBytes(Incomplete):
    """A file has not, or no longer, the bytes that it is named by."""


def read_verified(path: Path, sha256: str, read: Callable[[Path], T]) -> T:
    """Read a file that has that SHA-256.

    Args:
        path: A regular file.
        sha256: In hex.
        read: Reads the file at the path that it is given, and may be called again. What it gives for other bytes is
            thrown away.

    Returns:
        What `read` gave.

    Raises:
        OtherBytes: The file has another SHA-256, is gone or no regular file, or somebody goes on writing to it.
    """
    try:
        opened = open_unbuffered(os.fspath(path))
    except OSError as error:
        raise OtherBytes(f"{path} can't be read ({error.strerror})", hint="it is fetched again") from error
    with opened as file:
        descriptor = file.fileno()
        for _ in range(_TRIES):
            before = _wait_for_tick(descriptor)
            # Another name of the file that comes or goes changes its ctime, too.
            if has_writer(descriptor):
                continue
            if _hash(file) != sha256:
                raise OtherBytes(f"{path} has other bytes than its SHA-256 says", hint="it is fetched again")
            result = read(Path(f"/proc/self/fd/{descriptor}"))
            if os.fstat(descriptor).st_ctime_ns == before:
                return result
    raise OtherBytes(f"somebody writes to {path} while it is read", hint="let no other program write below root_dir")


def _hash(file: FileIO) -> str:
    """Hash an open file from its beginning."""
    size = os.fstat(file.fileno()).st_size
    if size <= _SMALL_BYTES:
        # `file_digest` would fill a buffer of 256 KiB with zeros first.
        data = os.pread(file.fileno(), size + 1, 0)
        if len(data) == size:
            return hashlib.sha256(data).hexdigest()
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


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
    return not 0 <= time.time_ns() - ctime_ns < _TICK_NS


def _wait_for_tick(descriptor: int) -> int:
    """Return the ctime of a file, in ns, once a later write would change it."""
    while True:
        ctime_ns = os.fstat(descriptor).st_ctime_ns
        if is_settled(ctime_ns):
            return ctime_ns
        time.sleep(_TICK_NS / 1e9)
