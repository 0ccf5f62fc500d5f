"""Locks a file for one process, or for several that share it.

The kernel drops the lock when its process ends, however it ends, so a lock never stays behind. The file itself stays:
removing it would let two processes lock two files of one name.

    with FileLock(directory / "lock") as lock:
        if not lock.try_exclusive():
            raise Busy("another process works here")
        ...

Source: flock(2).
"""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from packrat_core.fs.mounts import kernel_device

_MODE = 0o600
"""Anyone who can read a file can lock it, and so keep its owner from working."""


class FileLock:
    """An open lock file, not locked at first; closing it drops the lock."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it where it does not exist.

        Raises:
            OSError: It can't be opened or made.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        status = os.fstat(self._descriptor)
        # One with a second name may be a file of somebody else, put here to have its permissions taken away.
        if stat.S_IMODE(status.st_mode) & ~_MODE and status.st_nlink == 1:
            with suppress(OSError):
                os.fchmod(self._descriptor, _MODE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def try_exclusive(self) -> bool:
        """Lock the file for this process alone; False where another process has it, exclusive or shared.

        Raises:
            OSError: The filesystem has no locks.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Wait until no process has the file exclusively, then lock it together with others.

        An exclusive lock of this process becomes a shared one.

        Raises:
            OSError: The filesystem has no locks.
        """
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Drop the lock and close the file."""
        os.close(self._descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether a process of this host holds a lock file, without touching the lock."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            inode, device = str(os.fstat(descriptor).st_ino), kernel_device(descriptor)
        finally:
            os.close(descriptor)
        held = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return False
    # Source: proc(5). A line with an arrow is a process that waits.
    places = (words[5].rpartition(":") for words in held if words[1:2] == ["FLOCK"])
    # Files of two filesystems may have one inode number.
    return any(number == inode and on in (device or on,) for on, _, number in places)
