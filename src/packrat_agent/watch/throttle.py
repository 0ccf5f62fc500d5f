"""Paces a scan that goes on beside other work, from inside its thread.

Takes: a Mirror, the event that says that the agent stops.
Gives: a callback for the scan's progress.
Touches: the state database, to tell how far it is.
"""

import threading
import time

from packrat_agent.state.facts import ScanProgress
from packrat_agent.sync.mirror import Mirror

_SHARE = 0.5
"""Which part of the time the scan is at work."""
_AT_ONCE_S = 0.01
_TELL_S = 1.0


class Stopped(Exception):
    """The agent stops; the scan is to end."""


class Pace:
    """Called with (files, bytes) since the last call; sleeps as long as was worked.

    Raises: Stopped when the agent stops.
    """

    def __init__(self, mirror: Mirror, stopping: threading.Event) -> None:
        self._facts = mirror.store.facts
        self._of_files = mirror.store.live.count_files()
        self._stopping = stopping
        self._began = time.time()
        self._files = self._bytes = 0
        self._worked_since = time.monotonic()
        self._told_at = 0.0

    def __call__(self, files: int, size: int) -> None:
        """Count, tell now and then, sleep."""
        self._files += files
        self._bytes += size
        now = time.monotonic()
        if now - self._told_at > _TELL_S:
            self._told_at = now
            self._facts.write(ScanProgress(self._began, self._files, self._bytes, self._of_files))
        busy_s = now - self._worked_since
        if busy_s > _AT_ONCE_S:
            if self._stopping.wait(busy_s * (1 - _SHARE) / _SHARE):
                raise Stopped
            self._worked_since = time.monotonic()
