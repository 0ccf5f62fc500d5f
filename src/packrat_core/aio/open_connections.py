"""Counts the connections of a server, ends some where there are too many, and tells each how much time has passed."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import structlog

log = structlog.get_logger()

_SWEEP_S = 1.0


class CountedConnection(Protocol):
    """What is asked of a connection."""

    def count(self, passed_s: float) -> None:
        """Count time that has passed, and end the connection if it has waited for too long."""

    def end(self) -> None:
        """Close the connection at once."""


C = TypeVar("C", bound=CountedConnection)


class OpenConnections(ABC, Generic[C]):
    """All connections of one server process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[C, None] = {}
        self._is_sweeping = False
        self._is_logged = False

    def add(self, connection: C) -> None:
        """Note a new connection, and end some if there are too many."""
        self._open[connection] = None
        if len(self._open) > self._limit:
            self._log_once()
            for replaced in self._find_replaceable(connection):
                self.remove(replaced)
                replaced.end()
        if not self._is_sweeping:
            self._is_sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def remove(self, connection: C) -> None:
        """Note that a connection has ended."""
        self._open.pop(connection, None)

    @abstractmethod
    def _find_replaceable(self, newest: C) -> Sequence[C]:
        """Find the connections that are to make room, one at least; it may be the newest itself."""

    def _sweep(self) -> None:
        for connection in list(self._open):
            connection.count(_SWEEP_S)
        self._is_sweeping = bool(self._open)
        if self._is_sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        if len(self._open) < self._limit // 2:
            self._is_logged = False

    def _log_once(self) -> None:
        if not self._is_logged:
            self._is_logged = True
            log.warning("crowded", reason="too many connections; the oldest idle ones are closed", limit=self._limit)
