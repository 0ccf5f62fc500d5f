"""Tells a mirror of changes in one answer that stays open: a line for each, so that none costs a further request.

1. Each line is what `changes` answers, as one JSON object. The first one comes at once; it may tell of no change.
2. An empty line comes every BEAT_S, so that the mirror notices a dead connection, or a proxy that holds lines back.
3. The answer ends when its time is over, the server stops, the session has ended (at the next line or empty line), or
   the client has not read what was sent before. The mirror asks again, from the last position that it has read.
4. A line is written once for all who get it, and goes straight to their connections, without a task for each.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from starlette.types import Receive, Scope, Send

from packrat_server.accounts.live_sessions import read_live_sessions
from packrat_server.api.change_batch import ChangeBatch, Waiter, frame, token_hashes
from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.api.change_question import Found, Question
from packrat_server.api.messages import CinpError, CinpResponse
from packrat_server.api.request_threads import run_to_end
from packrat_server.store.database import reading
from packrat_server.store.journal import ChangesSince

BEAT_S = 10.0
MEDIA_TYPE = "application/jsonl"
_BEAT = frame(b"\n")

Write = Callable[[bytes], bool]
"""Writes a part of an answer as it goes over the line; False where the client has not read what was sent before."""


@dataclass(eq=False, slots=True, kw_only=True)
class Listener(Waiter):
    """A waiter that hears of one change after the other, until `woken` is completed.

    Attributes:
        position: What the mirror knows.
        write: Writes a part of its answer.
        is_over: Its answer ends.
    """

    position: str
    write: Write
    is_over: bool = False

    def wake(self, batch: ChangeBatch | None) -> None:
        """Give word of a change; where what was read doesn't suffice, have the database asked."""
        if self.woken.done():
            return
        if batch is None:
            self.woken.set_result(None)
        elif not batch.is_live(self):
            self.end()
        elif (line := batch.line(self)) is None:
            self.woken.set_result(None)
        elif self.write(line):
            self.after, self.position = batch.newest.id, str(batch.newest)
        else:
            self.end()

    def beat(self) -> None:
        """Write an empty line."""
        if not self.woken.done() and not self.write(_BEAT):
            self.end()

    def end(self) -> None:
        """End its answer."""
        if not self.woken.done():
            self.is_over = True
            self.woken.set_result(None)


class ChangeStream(CinpResponse):
    """The answer."""

    def __init__(self, asked: Question, found: Found, until: float) -> None:
        """Prepare the answer.

        Args:
            asked: What is asked for.
            found: What the first line tells.
            until: When the answer ends, in the time of the event loop.
        """
        headers = {"Verb": "CALL", "Cache-Control": "no-cache", "Multi-Object": "False", "Content-Type": MEDIA_TYPE}
        # nginx would hold the lines back without this header.
        super().__init__(None, 200, {**headers, "X-Accel-Buffering": "no"})
        # CinpResponse adds the length of an empty body, as the last header; this one is sent in chunks.
        del self.raw_headers[-1]
        self._asked = asked
        self._found = found
        self._until = until

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send lines until the answer ends."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(receive())
        try:
            # A session that has ended ends the answer; the next request is told why.
            with suppress(CinpError):
                await self._follow(scope["state"]["write_part"], gone)
        finally:
            gone.cancel()
            await send({"type": "http.response.body", "body": b""})

    async def _follow(self, write: Write, gone: "asyncio.Future[Any]") -> None:
        asked, found = self._asked, self._found
        line = found.line()
        while not line or write(line):
            listener = _listener(asked, found.since, write)
            asked.notifier.add(listener)
            try:
                wait_s = self._until - asyncio.get_running_loop().time()
                await asyncio.wait({gone, listener.woken}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                is_told = gone.done() or not listener.woken.done() or listener.is_over
            finally:
                asked.notifier.discard(listener)
                # A change that is being read now must not be written behind the end.
                listener.end()
            if is_told or asked.notifier.closed:
                return
            found = await asked.look(listener.position)
            line = found.line() if found.answer["changes"] else b""


def _listener(asked: Question, since: ChangesSince, write: Write) -> Listener:
    known = since.newest
    token_hash = asked.call.token_hash
    return Listener(
        *(since.all_repos, asked.mirror, known.id, token_hash, asked.with_records, asked.only_touched),
        position=str(known),
        write=write,
    )


async def keep_beating(engine: Engine, notifier: ChangeNotifier) -> None:
    """Write an empty line to all who listen, every BEAT_S, and end the answers of those whose session has ended."""
    while True:
        await asyncio.sleep(BEAT_S)
        listening = [waiter for waiter in notifier.all_waiting() if isinstance(waiter, Listener)]
        if listening:
            await _beat(engine, listening)


async def _beat(engine: Engine, listening: Sequence[Listener]) -> None:
    def look() -> frozenset[bytes]:
        with reading(engine) as connection:
            return read_live_sessions(connection, token_hashes(listening))

    # First of all: the mirrors take a silence for a proxy that holds lines back, and a look may take long.
    for listener in listening:
        listener.beat()
    try:
        live = await run_to_end(look)
    except Exception:
        # The database is away, as the watch (serving/change_watch.py) says; until it is back, nobody hears of a change.
        return
    for listener in listening:
        if listener.token_hash is not None and listener.token_hash not in live:
            listener.end()
