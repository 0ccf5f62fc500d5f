"""How the original server behaves: its moods, and requests that a test holds back."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.original_http import Request


@dataclass(slots=True)
class Manners:
    """How the server behaves; may be changed while it runs.

    minimum_s, maximum_s: how long a poll takes at least, and when the worker is killed without a byte. late: a poll
    tells what it heard when its time is over. twice: what a poll told, the next one of that repository tells again.
    spurious: a change wakes polls of any repository. gone: the database is gone: all is 500, polls are empty, at
    once; numbered: each 500 with a number of its own. deaf: polls are empty, at once. silent: nothing is ever
    answered. slow_s: before each answer. html: a proxy in front answers with its error page. cut: answers end in
    the middle. busy: all is 429 with this Retry-After. closed: nothing is shown without a login. wrong: every answer
    is of this value. redirect: every answer leads there. cut_files: so many downloads still end in the middle;
    resumable: files have a length, ETag and Range. after_file: is called when a download was answered. cinp: the one
    version of the protocol that it takes. record_s: what each record of a package file costs the one processor of the
    server. restless: each answer names another moment of creation.
    """

    minimum_s: float = 10.0
    maximum_s: float = 240.0
    late: bool = False
    twice: bool = False
    spurious: bool = False
    gone: bool = False
    numbered: bool = False
    deaf: bool = False
    silent: bool = False
    slow_s: float = 0.0
    html: bool = False
    cut: bool = False
    busy: str | None = None
    closed: bool = False
    wrong: Any = None
    redirect: str | None = None
    cut_files: int = 0
    resumable: bool = False
    after_file: Callable[[], None] = lambda: None
    api: str = "2.0"
    cinp: str = "0.9"
    record_s: float = 0.0
    restless: bool = False


class HeldBack:
    """Requests that are held back, each in the worker that took it, until the test lets them go.

    So a slow server is shown by order in place of time: what happens while one answer is outstanding, and before the
    next is asked for.
    """

    def __init__(self, which: str | Callable[[Request], bool], loop: asyncio.AbstractEventLoop) -> None:
        self._which = which
        self._loop = loop
        self._news = threading.Condition()
        self._waiting: list[tuple[Request, asyncio.Event]] = []
        self._over = False
        self._let_go_ahead = 0
        self.came = 0
        """How many requests were held back so far."""

    @property
    def waiting(self) -> list[Request]:
        """Those that wait now, the oldest first."""
        with self._news:
            return [request for request, _ in self._waiting]

    def until_waiting(self, number: int) -> list[Request]:
        """Wait until that many wait at the same time."""
        with self._news:
            assert self._news.wait_for(lambda: len(self._waiting) >= number, 120), f"{number} × {self._which}"
            return [request for request, _ in self._waiting]

    def let_go(self, number: int = 1) -> None:
        """Answer that many: the oldest ones, and if fewer wait, the next ones when they come."""
        with self._news:
            freed, self._waiting = self._waiting[:number], self._waiting[number:]
            self._let_go_ahead += number - len(freed)
        for _, event in freed:
            self._loop.call_soon_threadsafe(event.set)

    def end(self) -> None:
        """Answer all, and hold none any more."""
        with self._news:
            self._over = True
        self.let_go(len(self._waiting))

    async def wait(self, request: Request) -> None:
        """Hold a request back, if it is one of these."""
        is_one = self._which in request.line if isinstance(self._which, str) else self._which(request)
        if self._over or not is_one:
            return
        held = (request, asyncio.Event())
        with self._news:
            if self._let_go_ahead:
                self._let_go_ahead -= 1
                self.came += 1
                return
            self._waiting.append(held)
            self.came += 1
            self._news.notify_all()
        try:
            await held[1].wait()
        finally:
            with self._news:
                if held in self._waiting:
                    self._waiting.remove(held)
