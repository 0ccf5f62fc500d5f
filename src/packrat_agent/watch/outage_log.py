"""Logs what keeps the running agent from its work: a server that is away or refuses, a disk that is full.

1. Each fault is logged once, until the agent has recovered from all of them.
2. A server that is away is a warning, since it may only restart; it becomes an error when `check` warns of it.
3. A recovery is logged only once the state database has it: while the disk still fails, nothing has recovered.
4. A fault that the state database can't take is shown to `status` and `check` by a mark (`state/unwritten.py`).
"""

import re
import time

import structlog

from packrat_agent.state.facts import Failure
from packrat_agent.state.store import Store
from packrat_agent.state.unwritten import UnwrittenMark
from packrat_agent.status.nagios import AWAY_WARNING_S
from packrat_core.backoff import BackOff
from packrat_core.errors import OF_SERVER, DiskError, PackratError, ServerUnavailable, SigningError

log = structlog.get_logger()

_BACK_OFF = BackOff(first_s=1.0, longest_s=30.0)
_MEANWHILE = "what is published stays served; tried again"
_NUMBERS = re.compile(r"\b(?:\d+(?:[.:]\d+)+|(?=[0-9a-fA-F-]*\d)[0-9a-fA-F-]{4,})\b")
"""Times, addresses and identifiers; not the status of an answer."""


class OutageLog:
    """Remembers what was logged since the agent last was well."""

    def __init__(self, store: Store, server_url: str, unwritten: UnwrittenMark) -> None:
        self.reason = ""
        """Why nothing goes on at the moment; '' where all is well."""
        self.failures = 0
        """Failures since the agent last was well."""
        self._store = store
        self._server_url = server_url
        self._unwritten = unwritten
        self._reported: set[str] = set()
        self._away_since: float | None = None

    def note(self, error: PackratError) -> None:
        """Log a failure, unless it was logged before."""
        self.reason = str(error)
        self.failures += 1
        is_away = isinstance(error, ServerUnavailable)
        overdue = is_away and self._is_overdue()
        fault = "overdue" if overdue else _name(error)
        if fault in self._reported:
            return
        self._reported.add(fault)
        # What the log calls an error, `check` must not call good.
        if overdue or not is_away:
            log.error("waiting", reason=self.reason, text=_MEANWHILE)
        else:
            log.warning("waiting", reason=self.reason, text=_MEANWHILE)
        now = time.time()
        # It may be the state database's own disk that is full.
        try:
            self._store.events.add(now, "waiting", None, self.reason)
            if isinstance(error, OF_SERVER):
                self._store.facts.note_server(self._server_url, now, self.reason)
                if not is_away:
                    self._store.facts.note_answered()
            elif isinstance(error, SigningError):
                # Nothing is signed before the server has answered.
                self._store.facts.note_server(self._server_url, now)
            if not is_away:
                self._store.facts.write(Failure(now, self.reason))
        except DiskError:
            self._unwritten.set()
        else:
            self._unwritten.clear()

    def note_health(self) -> None:
        """Tell that the server answers and, after failures, that they are over.

        Raises:
            DiskError: It can't be written down.
        """
        self.note_answer()
        if not self.reason:
            return
        self._store.facts.drop(Failure)
        self._store.events.add(time.time(), "recovered", None, self._server_url)
        self._unwritten.clear()
        self.reason, self.failures = "", 0
        self._reported.clear()
        log.info("recovered", server=self._server_url)

    def note_answer(self) -> None:
        """Note that the server answers, whatever else is wrong.

        Raises:
            DiskError: It can't be written down.
        """
        self._store.facts.note_server(self._server_url, time.time())
        self._away_since = None

    def delay_s(self, asked_s: float = 0.0) -> float:
        """Choose how long to wait before the next try: longer after each failure, and not less than was asked for."""
        return _BACK_OFF.delay_s(self.failures, asked_s)

    def _is_overdue(self) -> bool:
        """Say whether the server has been away for longer than a restart takes."""
        if self._away_since is None:
            self._away_since = time.monotonic()
        return time.monotonic() - self._away_since > AWAY_WARNING_S


def _name(error: PackratError) -> str:
    # A full disk is one fault, whichever file meets it; so is a server that puts a number into each answer.
    if isinstance(error.__cause__, OSError):
        return str(error.__cause__.errno)
    return _NUMBERS.sub("#", str(error))
