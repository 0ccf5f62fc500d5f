"""Lets requests of bulk work go to the server at the pace that it can bear (see `bulk_pace`).

bulk = BulkWork(Pace(most=2))
async with bulk.turn() as turn:
    ...send the request, read the answer...
    turn.note_answer()
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from packrat_core.cinp.bulk_pace import Answered, Pace

_PAUSE_S = 2.0
"""Between two portions of bulk work there are pauses, in which it is not over."""


class BulkWork:
    """Gives out turns, first come, first served, for one event loop."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._open: set[Turn] = set()
        self._given = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._rests_until_s = 0.0
        self._busy_until_s = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether bulk work is under way, or was a moment ago."""
        return self._given > 0 or _now_s() < self._busy_until_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """Wait for a turn, and hold it as long as the context lasts."""
        await self._acquire()
        turn = Turn(self)
        try:
            while (rest_s := self._rests_until_s - _now_s()) > 0:
                await asyncio.sleep(rest_s)
            turn.began_s, turn.alone = _now_s(), not self._open
            for other in self._open:
                other.alone = False
            self._open.add(turn)
            yield turn
        finally:
            self._open.discard(turn)
            self._release()

    def note(self, answer: Answered) -> None:
        """Adapt the pace to an answer."""
        self._pace = self._pace.after(answer)
        self._rests_until_s = answer.ended_s + self._pace.rest_s
        self._grant()

    async def _acquire(self) -> None:
        if self._given < self._pace.at_once and not self._waiting:
            self._given += 1
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                # It was granted at the very moment that nobody wanted it any more.
                self._release()
            else:
                self._waiting.remove(granted)
            raise

    def _release(self) -> None:
        self._given -= 1
        self._busy_until_s = _now_s() + _PAUSE_S
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._given < self._pace.at_once:
            granted = self._waiting.popleft()
            if not granted.done():
                self._given += 1
                granted.set_result(None)


@dataclass(slots=True, eq=False)
class Turn:
    """One request of the bulk work."""

    work: BulkWork
    began_s: float = 0.0
    alone: bool = True

    def note_answer(self) -> None:
        """Note that the server has answered; an error says nothing about its pace, so don't call this for one."""
        self.work.note(Answered(self.began_s, _now_s(), self.alone))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
