"""Slows down a scan that goes on beside other work, from inside its thread, and notes how far it is for `status`."""

import ctypes
import os
import threading
import time
from contextlib import suppress

from packrat_agent.state.facts import ScanProgress
from packrat_agent.sync.context import MirrorContext

_SHARE = 0.5
"""The part of the time that the scan works; it sleeps for the rest."""
_AT_ONCE_S = 0.01
_TELL_S = 1.0
_IDLE_CLASS = 3


class Stopped(Exception):
    """The agent stops; the scan is to end."""


class Throttle:
    """Called with (files, bytes) since the last call; sleeps as long as was worked, or as `scan_rate_limit` asks for.

    Raises:
        Stopped: The agent stops.
    """

    def __init__(self, context: MirrorContext, stopping: threading.Event) -> None:
        self._facts = context.store.facts
        self._of_files = context.store.live.count_files()
        self._stopping = stopping
        self._began = time.time()
        self._files = self._bytes = 0
        self._bytes_per_s = context.config.mirror.scan_bytes_per_s
        self._worked_since = time.monotonic()
        self._bytes_since = 0
        self._written_at = 0.0

    def __call__(self, files: int, size: int) -> None:
        """Count, tell now and then, sleep."""
        self._files += files
        self._bytes += size
        self._bytes_since += size
        now = time.monotonic()
        if now - self._written_at > _TELL_S:
            self._written_at = now
            self._facts.write(ScanProgress(self._began, self._files, self._bytes, self._of_files))
        busy_s = now - self._worked_since
        whole_s = max(busy_s / _SHARE, self._bytes_since / self._bytes_per_s)
        if whole_s > _AT_ONCE_S / _SHARE:
            if self._stopping.wait(whole_s - busy_s):
                raise Stopped
            self._worked_since, self._bytes_since = time.monotonic(), 0


def be_gentle() -> None:
    """Give this thread the lowest claim on processor and disk; does nothing on a system that does not support it.

    Source: setpriority(2), ioprio_set(2).
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    number = {"x86_64": 251, "aarch64": 30}.get(os.uname().machine)
    if number is not None:
        with suppress(OSError):
            ctypes.CDLL(None).syscall(number, 1, 0, _IDLE_CLASS << 13)
