"""Tells other processes that the agent can't write its state database, without writing anything.

A full or failed disk takes no note of what is wrong with it. A lock stands in memory, even where the disk takes no
writes, and the kernel drops it when the agent ends:

    mark = UnwrittenMark(state_db)
    mark.set()     # the agent locks the file that says which process holds the state database
    is_unwritten(state_db)  # what `status` and `check` ask, in their own processes

Source: flock(2).
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from packrat_agent.state.lock_files import holder_file, lock_file
from packrat_core.fs.locks import is_locked


class UnwrittenMark:
    """The lock of one agent, not set at first."""

    def __init__(self, state_db: Path) -> None:
        self._file = holder_file(lock_file(state_db))
        self._descriptor: int | None = None

    def set(self) -> None:
        """Say that the state database can't be written."""
        if self._descriptor is not None:
            return
        # Without the file, or locks on this filesystem, the log is all that tells.
        with suppress(OSError):
            # Opened to read: a filesystem that takes no writes opens no file for them.
            self._descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def clear(self) -> None:
        """Say that the state database can be written again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_unwritten(state_db: Path) -> bool:
    """Tell whether an agent at work on this host can't write its state database."""
    return is_locked(holder_file(lock_file(state_db)))
