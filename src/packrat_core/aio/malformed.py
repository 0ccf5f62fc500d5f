"""Logs that a client sent what is not HTTP: HTTP libraries say it in words of their own, with the bytes that came.

Only some lines a minute are logged: a client could otherwise fill the disk of the log with them.
"""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

LINES_A_MINUTE = 60
_MINUTE_S = 60.0


class MalformedRequests:
    """Logs them, at most LINES_A_MINUTE; the first line of the next minute says how many more there were."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = -_MINUTE_S
        self._count = 0

    def log(self, address: str | None) -> None:
        """Write the line, without a byte of what the client sent; None where the address is not known."""
        unsaid = 0
        if self._now() - self._began >= _MINUTE_S:
            unsaid = max(0, self._count - LINES_A_MINUTE)
            self._began, self._count = self._now(), 0
        self._count += 1
        if self._count <= LINES_A_MINUTE:
            text = "a client sent what is not an HTTP request; it was refused"
            log.info("malformed", address=address, more=unsaid or None, text=text)


log_malformed = MalformedRequests().log
