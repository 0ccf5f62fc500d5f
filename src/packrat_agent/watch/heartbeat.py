"""Tells the server that the mirror is alive, and the operator that all is well again once no work is left."""

import time
from collections.abc import Callable

from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.outage_log import OutageLog
from packrat_agent.watch.workers import Lane, Workers

_LONGEST_S = 30.0
"""After this time a heartbeat is due although changes are still worked on: one of them may hang."""


class Heartbeat:
    """One heartbeat after each time that something was done."""

    def __init__(self, workers: Workers, outage: OutageLog, has_failed_look: Callable[[], bool]) -> None:
        self._workers = workers
        self._outage = outage
        self._has_failed_look = has_failed_look
        self._reported_finished = 0
        self._reported_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether something was done since the last one, and a heartbeat may be sent."""
        workers = self._workers
        if workers.finished == self._reported_finished or workers.busy(Lane.HEALTH):
            return False
        if self._outage.reason:
            # Nothing has recovered until all that waited for it is done.
            return workers.is_idle
        return not workers.busy(Lane.CHANGE) or time.monotonic() - self._reported_at > _LONGEST_S

    async def beat(self, server: Packrat) -> None:
        """Send a heartbeat.

        Raises:
            PackratError: The server can't be reached, or the state database can't be written.
        """
        await server.heartbeat()
        if self._has_failed_look():
            # The server is well; whether the disk is, only the next look can tell, which may take hours.
            self._outage.note_answer()
        else:
            self._outage.note_health()
        # Telling it counts as work, too.
        self._reported_finished, self._reported_at = self._workers.finished + 1, time.monotonic()
