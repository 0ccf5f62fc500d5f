"""Queues logins, which hash a password or psk, in threads of their own.

A hash is slow on purpose, so many logins at once must not take the threads, processors or memory of other requests:

1. One or two secrets are hashed at once. At most `places` callers wait, each at most WAIT_S.
2. The next one is drawn at random: first the address, then the name, then one of the callers that wait under this name
   at this address. So a hundred logins from one address, or under one name, hardly delay others, and nobody gets ahead
   by asking faster.
3. Callers that logged in from their address before come before those that did not.
4. When all places are taken, a new caller is refused, or takes the place of one whose address has more of them; at one
   address, of one whose name has several. Nobody takes the place of one that comes first, unless all come first.

Usage:

    stored = await logins.run(name, address, lambda: check_secret(engine, name, secret), check)
"""

import asyncio
import contextlib
import os
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

WAIT_S = 10.0
RETRY_AFTER_S = 1
_PLACES = 256
_WORKERS_LIMIT = 2


class QueueFull(Exception):
    """Too many logins wait at once; try again in RETRY_AFTER_S."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    name: str
    address: str
    is_first: bool
    turn: asyncio.Future[None]

    def refuse(self) -> None:
        if not self.turn.done():
            self.turn.set_exception(QueueFull())


class LoginQueue:
    """The queue of one server process; call its methods from one event loop only."""

    def __init__(self, places: int = _PLACES) -> None:
        # At most half of the processors, so that the others answer all other requests.
        self._free = max(1, min(_WORKERS_LIMIT, len(os.sched_getaffinity(0)) // 2))
        self._pool = ThreadPoolExecutor(self._free, thread_name_prefix="login")
        self._places = places
        self._waiting: list[_Waiting] = []
        self._is_logged = False

    async def run(
        self, name: str, address: str, work: Callable[[], T], check: Callable[[], None], *, is_first: bool = False
    ) -> T:
        """Do work that hashes a secret in a thread, when it is this caller's turn.

        Args:
            name: The user or mirror that logs in.
            address: Where the login comes from.
            work: The work.
            check: Is called when the turn has come; if it raises, the turn goes to the next caller.
            is_first: Whether it comes before others.

        Returns:
            What the work returns.

        Raises:
            QueueFull: No turn came in time, or too many wait. What the work or the check raises is raised, too.
        """
        try:
            await self._wait_for_turn(name, address, is_first)
        except QueueFull:
            self._log_once()
            raise
        try:
            check()
        except BaseException:
            self._give_turn()
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

    async def _wait_for_turn(self, name: str, address: str, is_first: bool) -> None:
        if self._free:
            self._free -= 1
            return
        self._make_room(name, address, is_first)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(name, address, is_first, loop.create_future())
        self._waiting.append(waiting)
        timer = loop.call_later(WAIT_S, waiting.refuse)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if not waiting.turn.cancelled() and waiting.turn.exception() is None:
                # The caller was cancelled when it had its turn already: the next one gets it.
                self._give_turn()
            raise
        finally:
            timer.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _make_room(self, name: str, address: str, is_first: bool) -> None:
        """Make sure that one more may wait.

        Args:
            name: The name that it gives.
            address: Where it comes from.
            is_first: Whether it comes before others.

        Raises:
            QueueFull: All places are taken, and this caller may take none from another.
        """
        if len(self._waiting) < self._places:
            return
        others = [waiting for waiting in self._waiting if not waiting.is_first]
        comes_first = is_first and bool(others)
        replaceable = others or (self._waiting if is_first else [])
        if not replaceable:
            raise QueueFull
        addresses = Counter(waiting.address for waiting in replaceable)
        (crowded, size), *_ = addresses.most_common(1)
        crowd = [waiting for waiting in replaceable if waiting.address == crowded]
        names = Counter(waiting.name for waiting in crowd)
        (busiest, count), *_ = names.most_common(1)
        # An address takes no place from one that has no more than itself. Within an address, a caller whose name waits
        # already takes none, and nobody does where each name waits once.
        is_of_crowd = addresses[address] == size and (address != crowded or name in names or count == 1)
        if is_of_crowd and not comes_first:
            raise QueueFull
        refused = [waiting for waiting in crowd if waiting.name == busiest][-1]
        self._waiting.remove(refused)
        refused.refuse()

    def _give_turn(self) -> None:
        """Give the worker that has become free to the next caller."""
        while self._waiting:
            drawn = self._draw()
            self._waiting.remove(drawn)
            if not drawn.turn.done():
                drawn.turn.set_result(None)
                return
        self._is_logged = False
        self._free += 1

    def _draw(self) -> _Waiting:
        drawn = [waiting for waiting in self._waiting if waiting.is_first] or self._waiting
        address = secrets.choice(sorted({waiting.address for waiting in drawn}))
        drawn = [waiting for waiting in drawn if waiting.address == address]
        name = secrets.choice(sorted({waiting.name for waiting in drawn}))
        return secrets.choice([waiting for waiting in drawn if waiting.name == name])

    def _log_once(self) -> None:
        """Log once for each flood of logins, not for each caller."""
        if not self._is_logged:
            self._is_logged = True
            log.warning(
                "busy",
                reason="too many logins at once; some must try again",
                retry_after_s=RETRY_AFTER_S,
            )
