"""Remembers which large index files had their content when they were last read, so that they are not read again.

A change of one architecture publishes the indexes of all others as they are. To read those of 100,000 packages takes
longer than all else that the change needs.

    if not compared.has(status, content):
        ...  # read it, and compare
        compared.note(status, content)

A file is told by its inode and its ctime, which no program can set. Who writes to it in the same tick of the clock as
it is read would go unseen, so a file that changed a moment ago is not remembered.

Source: inode(7), "Last status change timestamp".
"""

import os
import threading
import time
from collections.abc import Callable

from packrat_agent.model.tree import Content

_LARGE_BYTES = 256 * 1024
"""A smaller file is read in less time than anybody would notice."""
_SETTLED_NS = 1_000_000_000
"""So long ago the last change of a file must be."""
_LIMIT = 10_000
"""Number of files that are remembered; of those that were removed since, nobody tells."""


class ComparedFiles:
    """Large files that were read and had the content that they are named for; any thread may use it."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Remember none.

        Args:
            clock_ns: The time of day.
        """
        self._clock_ns = clock_ns
        self._digests: dict[tuple[int, ...], str] = {}
        self._lock = threading.Lock()

    def has(self, status: os.stat_result, content: Content) -> bool:
        """Tell whether a file was compared with this content, and has not changed since."""
        with self._lock:
            return self._digests.get(_identity(status)) == content.digest

    def note(self, status: os.stat_result, content: Content) -> None:
        """Note that a file has this content; `status` is what was said of it before it was read."""
        age_ns = self._clock_ns() - status.st_ctime_ns
        if status.st_size < _LARGE_BYTES or age_ns < _SETTLED_NS:
            return
        with self._lock:
            if len(self._digests) >= _LIMIT:
                self._digests.clear()
            self._digests[_identity(status)] = content.digest

    def forget(self) -> None:
        """Have all files read again, since the disk itself may have changed some: that changes no time."""
        with self._lock:
            self._digests.clear()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
