"""Queues logins, which hash a password or psk, in threads of their own.

A hash is slow on purpose, so many logins at once must not take the threads, processors or memory of other requests:

1. One or two secrets are hashed at once. At most `places` callers wait, each at most WAIT_S.
2. The next one is drawn at random: first the name, then one of the callers that wait under this name. So a hundred
   logins under one name hardly delay another name, and nobody gets ahead by asking faster.
3. When all places are taken, a new caller is refused. Only a name that has nobody waiting takes the place of a name
   that has several.

Usage:

    token = await logins.run(name, lambda: log_in(engine, name, secret))
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

WAIT_S = 2.5
RETRY_AFTER_S = 1
_PLACES = 256
_WORKERS_LIMIT = 2


class QueueFull(Exception):
    """Too many logins wait at once; try again in RETRY_AFTER_S."""


class LoginQueue:
    """The queue of one server process; call its methods from one event loop only."""

    def __init__(self, places: int = _PLACES) -> None:
        # At most half of the processors, so that the others answer all other requests.
        self._free = max(1, min(_WORKERS_LIMIT, len(os.sched_getaffinity(0)) // 2))
        self._pool = ThreadPoolExecutor(self._free, thread_name_prefix="login")
        self._places = places
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._is_logged = False

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Do work that hashes a secret in a thread, when it is this caller's turn.

        Args:
            name: The user or mirror that logs in.
            work: The work.

        Returns:
            What the work returns.

        Raises:
            QueueFull: No turn came in time, or too many wait. What the work raises is raised, too.
        """
        try:
            await self._wait_for_turn(name)
        except QueueFull:
            self._log_once()
            raise
        loop = asyncio.get_running_loop()

        def ended(_job: Future[T]) -> None:
            # Called when the thread is free again, which may be after the caller was cancelled. When the server
            # stops, the loop may be closed already.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_turn)

        job = self._pool.submit(work)
        job.add_done_callback(ended)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Wait for the work that has begun, and drop the rest."""
        self._pool.shutdown(cancel_futures=True)

    async def _wait_for_turn(self, name: str) -> None:
        if self._free:
            self._free -= 1
            return
        self._make_room(name)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(name, []).append(turn)
        timer = loop.call_later(WAIT_S, _refuse, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                # The caller was cancelled when it had its turn already: the next one gets it.
                self._give_turn()
            raise
        finally:
            timer.cancel()
            self._leave(name, turn)

    def _make_room(self, name: str) -> None:
        """Make sure that one more may wait.

        Raises:
            QueueFull: All places are taken, and this name may take none from another.
        """
        if sum(map(len, self._waiting.values())) < self._places:
            return
        most = max(self._waiting, key=lambda other: len(self._waiting[other]))
        if name in self._waiting or len(self._waiting[most]) == 1:
            raise QueueFull
        refused = self._waiting[most][-1]
        self._leave(most, refused)
        _refuse(refused)

    def _leave(self, name: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(name, [])
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[name]

    def _give_turn(self) -> None:
        """Give the worker that has become free to the next caller."""
        while self._waiting:
            name = secrets.choice(list(self._waiting))
            turn = secrets.choice(self._waiting[name])
            self._leave(name, turn)
            if not turn.done():
                turn.set_result(None)
                return
        self._is_logged = False
        self._free += 1

    def _log_once(self) -> None:
        """Log once for each flood of logins, not for each caller."""
        if not self._is_logged:
            self._is_logged = True
            log.warning(
                "busy",
                reason="too many logins at once; some must try again",
                retry_after_s=RETRY_AFTER_S,
            )


def _refuse(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(QueueFull())
