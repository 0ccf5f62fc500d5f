"""Notices jumps of the clock, so that what is deleted after a day is neither deleted early nor kept for ever.

1. Where the time of day jumps ahead while the server runs, the times that were noted move along.
2. No time is believed that lies ahead of the clock: it was noted while the clock was wrong, and counts from now on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, update

from packrat_server.accounts.sessions import SESSION_S
from packrat_server.store.tables import orphans, sessions, uploads

JUMP_S = 60.0
"""What the clock may gain between two looks without having jumped: it is adjusted all the time."""
_NOTED = ((orphans, orphans.c.since), (uploads, uploads.c.at))


class JumpWatch:
    """Measures how far the time of day went ahead of the time that has passed."""

    def __init__(self, read: Callable[[], tuple[float, float]] | None = None) -> None:
        self._read = read or _read_clocks
        self._wall, self._running = self._read()

    @contextmanager
    def following(self) -> Iterator[float]:
        """Give the seconds that it jumped ahead since the last time that this came to a good end; 0 where it did not.

        Where the body fails, the times that were noted may not have moved along yet.
        """
        wall, running = self._read()
        ahead_s = (wall - self._wall) - (running - self._running)
        yield ahead_s if ahead_s > JUMP_S else 0.0
        self._wall, self._running = wall, running


def follow_clock(connection: Connection, now: float, ahead_s: float) -> None:
    """Move the times that were noted.

    Args:
        connection: A writing transaction.
        now: The time, in seconds since the epoch.
        ahead_s: The seconds that the clock has jumped ahead.
    """
    for table, noted in _NOTED:
        if ahead_s:
            connection.execute(update(table).values({noted.name: noted + ahead_s}))
        connection.execute(update(table).where(noted > now).values({noted.name: now}))
    latest = now + SESSION_S
    connection.execute(update(sessions).where(sessions.c.expires > latest).values(expires=latest))


def _read_clocks() -> tuple[float, float]:
    return time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
