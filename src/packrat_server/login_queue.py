"""Hashes passwords and psks in threads of their own, with a waiting room before them.

Takes: a name, and the work that hashes its secret.
Gives: what the work gives, or a QueueFull.
Touches: nothing.

A hash is slow on purpose, so many logins at once must not take the threads of other requests, nor all processors, nor
the memory. The rules:

1. One or two secrets are hashed at once. At most `places` callers wait, each at most WAIT_S.
2. The next one is drawn by lot: first the name, then one of those who wait under this name. So a hundred logins under
   one name hardly delay another name, and nobody gets in before others by asking faster.
3. A full room refuses who comes. Only a name that has nobody in it takes the place of a name that has several.
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
    """Too many logins at once; another may be tried in RETRY_AFTER_S."""


class LoginQueue:
    """The queue of one server process; all its methods belong to one event loop."""

    def __init__(self, places: int = _PLACES) -> None:
        # Half of the processors at most: the others answer everybody else.
        self._free = max(1, min(_WORKERS_LIMIT, len(os.sched_getaffinity(0)) // 2))
        self._pool = ThreadPoolExecutor(self._free, thread_name_prefix="login")
        self._places = places
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._told = False

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Do the work in a thread, when it is this caller's turn.

        Raises: QueueFull; and whatever the work raises.
        """
        try:
            await self._wait_for_turn(name)
        except QueueFull:
            self._tell()
            raise
        loop = asyncio.get_running_loop()

        def ended(_job: Future[T]) -> None:
            # Called by the worker: the thread is busy until now, even if the caller is gone. At a stop so is the loop.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_turn)

        job = self._pool.submit(work)
        job.add_done_callback(ended)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Wait for what is under way."""
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
                # Gone in the moment when its turn came.
                self._give_turn()
            raise
        finally:
            timer.cancel()
            self._leave(name, turn)

    def _make_room(self, name: str) -> None:
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
        """Let somebody have the worker that has become free."""
        while self._waiting:
            name = secrets.choice(list(self._waiting))
            turn = secrets.choice(self._waiting[name])
            self._leave(name, turn)
            if not turn.done():
                turn.set_result(None)
                return
        self._told = False
        self._free += 1

    def _tell(self) -> None:
        """Log it once, not for each caller of a flood."""
        if not self._told:
            self._told = True
            log.warning(
                "busy", reason="too many logins at once: some are told to come again", retry_after_s=RETRY_AFTER_S
            )


def _refuse(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(QueueFull())
