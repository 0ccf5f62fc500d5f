"""Asks `changes`, if possible by one request that stays open, so that a change costs no further request.

1. A value is heard in the order in which the server tells it; where the answer ends, the question is asked again from
   the last position that was heard of.
2. The first value comes at once. If it does not, a proxy holds back what the server says, and each change takes a
   question of its own for REST_S. The same holds if an answer falls silent, since the server writes an empty line
   every ten seconds. Where a further question is not answered at once either, the server or the way to it stood still.
3. If a connection breaks off, a question of the other kind shows whether the server is still there. If so, a proxy may
   cut questions that wait for long; for REST_S they wait for less.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from packrat_agent.upstream.read_changes import RECORDS, STREAM, TOUCHED, takes
from packrat_core.cinp.line_stream import LineStream, Silent
from packrat_core.errors import ServerUnavailable

log = structlog.get_logger()

BEGIN_S = 5.0
"""Within this time an answer that stays open must begin."""
SILENT_S = 25.0
"""Within this time its next line must come."""
_OPEN_S = 240
"""For how long an answer stays open."""
REST_S = 900.0
_LATE_S = 0.5
"""A line was read from the server's database no longer than this before it came, on a way where nothing waits."""
_AT_ONCE_S = 2.0
"""Within this time a server that is well answers a question that waits for nothing."""
_MARGIN_S = 15.0
"""The longest delay of an answer: the server answers on time, so a dead connection is noticed soon."""
_CUT_S = 4.0
"""No proxy cuts a question sooner."""
_SHORTER = 0.7
"""The part of the time of a question that was cut for which the next one waits."""

Ask = Callable[[Mapping[str, Any], float], Awaitable[Any]]
"""Asks one question: its arguments, and how many seconds the server may take."""
OpenLines = Callable[[Mapping[str, Any]], Awaitable[LineStream]]
"""Asks a question that stays open."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server said, unchecked, and the last moment at which it can't have known that yet (epoch seconds)."""

    value: Any
    asked_at: float


class ChangeFeed:
    """The questions of one mirror."""

    def __init__(self, ask: Ask, open_lines: OpenLines, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to ask, as any server with `changes` can be asked.

        Args:
            ask: Asks one question.
            open_lines: Asks a question that stays open.
            clock: Tells seconds.
        """
        self._ask = ask
        self._open_lines = open_lines
        self._clock = clock
        self._lines: LineStream | None = None
        self._position: str | None = None
        self._rests_until = 0.0
        self._short_until = 0.0
        self._longest_s = 0.0
        self._is_cut = False
        self._is_held_back = False
        self._is_logged = False
        self._can_stream = False
        self._further: Mapping[str, Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether the next change will be heard without another question."""
        return self._lines is not None

    @property
    def has_records(self) -> bool:
        """Whether the server gives the records of the files that changed."""
        return RECORDS in self._further

    def learn(self, described: Mapping[str, Any]) -> None:
        """Learn from the description of `changes` what else the server can give."""
        self._can_stream = takes(described, STREAM)
        self._further = {name: True for name in (RECORDS, TOUCHED) if takes(described, name)}

    async def hear(self, position: str | None, timeout_s: float) -> Heard:
        """Wait for what changes after a position.

        Args:
            position: The last one that the caller knows; None asks for the present one.
            timeout_s: Seconds to wait at most.

        Returns:
            What changed, perhaps nothing.

        Raises:
            PackratError: The server refuses the question, or can't be reached, or its answer can't be used.
        """
        if self._can_stream and position is not None and timeout_s and self._clock() >= self._rests_until:
            heard = await self._hear_lines(position, timeout_s)
            if heard is not None:
                return heard
        asked_at = time.time()
        if self._is_held_back:
            self._is_held_back = await self._answers_at_once(position)
        value = await self._ask_patiently({"position": position, **self._further}, timeout_s)
        # That it answers at once tells a proxy that holds lines back from a server that is away.
        self._note_way()
        return Heard(value, asked_at)

    async def _answers_at_once(self, position: str | None) -> bool:
        began = self._clock()
        await self._ask({"position": position, "timeout": 0}, _MARGIN_S)
        return self._clock() - began < _AT_ONCE_S

    async def _ask_patiently(self, asked: Mapping[str, Any], timeout_s: float) -> Any:
        """Ask, and wait no longer than the way to the server lets a question wait.

        Raises:
            PackratError: As `hear`.
        """
        wait_s = min(timeout_s, self._longest_s) if self._clock() < self._short_until else timeout_s
        began = self._clock()
        try:
            value = await self._ask({**asked, "timeout": wait_s}, wait_s + _MARGIN_S)
        except ServerUnavailable:
            waited_s = self._clock() - began
            if not _CUT_S <= waited_s < wait_s:
                raise
        else:
            if self._clock() - began > self._longest_s / _SHORTER:
                # It waited for longer than the one that was cut.
                self._is_cut = False
            return value
        # Answered at once, it was a proxy that cut the one before, and no server that is away.
        value = await self._ask({**asked, "timeout": 0}, _MARGIN_S)
        if not self._is_cut:
            log.info("buffered", reason=f"a proxy cuts questions that wait for {waited_s:.0f} s; they wait less")
        self._is_cut = True
        self._longest_s, self._short_until = waited_s * _SHORTER, self._clock() + REST_S
        return value

    async def _hear_lines(self, position: str, timeout_s: float) -> Heard | None:
        """Give what the open question tells; None where that is not to be had."""
        try:
            heard = await self._read(position, asyncio.get_running_loop().time() + timeout_s)
        except Silent:
            self._is_held_back = not self._was_stopped()
        except ServerUnavailable:
            if self._lines is None:
                raise
        except BaseException:
            await self.close()
            raise
        else:
            if self._is_held_back:
                # Its only line is read.
                await self.close()
            self._note_way()
            return heard
        await self.close()
        return None

    def _note_way(self) -> None:
        if self._is_held_back:
            self._is_held_back = False
            self._rests_until = self._clock() + REST_S
            if not self._is_logged:
                log.info("buffered", reason="a proxy holds back what the server says; each change is asked for")
            self._is_logged = True
        elif self._lines is not None:
            self._is_logged = False

    async def close(self) -> None:
        """End the question."""
        lines, self._lines = self._lines, None
        if lines is not None:
            await lines.close()

    def _was_stopped(self) -> bool:
        """Tell whether it was this process that stood still, such as with its machine: then nobody was silent."""
        return self._lines is not None and time.time() - self._lines.rested_at > 2 * SILENT_S

    async def _read(self, position: str, until: float) -> Heard:
        heard = Heard({"position": position, "changes": {}}, time.time())
        was_opened = False
        while True:
            if self._lines is None or self._position != position:
                if was_opened:
                    # It ended at once; the caller waits before it asks again.
                    return heard
                was_opened, known_at = True, time.time()
                value = await self._open(position)
            else:
                try:
                    async with asyncio.timeout_at(until):
                        value = await self._lines.read()
                except TimeoutError:
                    return heard
                known_at = self._lines.rested_at - _LATE_S
            if value is None:
                await self.close()
                continue
            heard = Heard(value, known_at)
            changes, self._position = _read_roughly(value)
            if changes or self._position is None:
                return heard
            position = self._position

    async def _open(self, position: str) -> Any:
        await self.close()
        self._position = position
        asked = {"position": position, "timeout": _OPEN_S, STREAM: True, **self._further}
        self._lines = await self._open_lines(asked)
        # Through a proxy that speaks an older HTTP to the server, this is an answer that ends.
        self._is_held_back = not self._lines.is_stream
        return await self._lines.read()


def _read_roughly(value: Any) -> tuple[object, str | None]:
    """Take changes and position out of a value that is not checked yet; the caller checks it."""
    if not isinstance(value, Mapping) or not isinstance(value.get("position"), str):
        return None, None
    return value.get("changes"), value["position"]
