"""Ends work cleanly on SIGTERM and SIGINT, and calls back on other signals such as SIGHUP and SIGUSR1."""

import asyncio
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Self, TypeVar

from packrat_agent.publish.pointers import stop_showing

T = TypeVar("T")

_END_WITHIN_S = 4.0
_RENAME_WITHIN_S = 20.0

EndWork = Callable[[], None]
"""Ends the work as a signal does."""


class CaughtSignals:
    """Keeps signals that come while no work listens, such as before it begins, for the work that comes next.

    To be used as a context. By default such a signal ends the process. `has_stopped`: SIGTERM or SIGINT came, so there
    must be no next work.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        """Take the signals to catch."""
        self.has_stopped = False
        self._numbers = tuple(numbers)
        self._kept: deque[int] = deque()
        self._wake: Callable[[], object] = _wake_nobody
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._catch) for number in self._numbers}
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def take(self, number: signal.Signals) -> bool:
        """Tell whether a signal came and was kept; it is not kept any longer."""
        is_kept = number in self._kept
        while number in self._kept:
            self._kept.remove(number)
        return is_kept

    @contextmanager
    def calling(self, calls: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
        """Call back in the event loop that runs; first for each signal that was kept."""
        loop = asyncio.get_running_loop()

        def call_back() -> None:
            while self._kept:
                calls[signal.Signals(self._kept.popleft())]()

        self._wake = partial(loop.call_soon_threadsafe, call_back)
        self._wake()
        try:
            yield
        finally:
            self._wake = _wake_nobody

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        self._kept.append(number)
        self._wake()


def _wake_nobody() -> None:
    """Leave what was caught for the next work."""


def until_signalled(
    start: Callable[[], Coroutine[Any, Any, T]],
    others: Mapping[signal.Signals, Callable[[EndWork], None]] | None = None,
    caught: CaughtSignals | None = None,
    abandoned_code: int = 0,
    on_stop: Callable[[], object] | None = None,
) -> T | None:
    """Run to the end, or until SIGTERM or SIGINT; then None.

    Work that does not stop within four seconds is abandoned with the process: every step is safe against that. Only a
    publication that clients can see half of is ended first, for up to 20 seconds more. Once such a signal came, others
    like it do nothing more in this process.

    Args:
        start: Makes the work.
        others: What to call on other signals, with a function that ends the work.
        caught: Catches the other signals also while this function does not run.
        abandoned_code: The exit code of a process that is abandoned.
        on_stop: What to call as the work is told to end by SIGTERM or SIGINT.
    """
    if caught is None:
        with CaughtSignals(others or {}) as caught_meanwhile:
            return until_signalled(start, others, caught_meanwhile, abandoned_code, on_stop)

    async def guarded() -> T | None:
        task = asyncio.ensure_future(start())

        def cancel() -> None:
            task.cancel()

        def end() -> None:
            cancel()
            if on_stop is not None:
                on_stop()

        stop.listen(end)
        with caught.calling({number: partial(call, cancel) for number, call in (others or {}).items()}):
            try:
                return await task
            except asyncio.CancelledError:
                return None

    with _Stop(abandoned_code) as stop:
        try:
            return asyncio.run(guarded())
        finally:
            caught.has_stopped = stop.has_come


class _Stop:
    """Ends work on SIGTERM and SIGINT; to be used as a context."""

    def __init__(self, abandoned_code: int) -> None:
        self.has_come = False
        self._abandon = partial(_abandon, abandoned_code)
        self._former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self._is_ending = False
        self._timer = threading.Timer(_END_WITHIN_S, self._abandon)
        self._timer.daemon = True
        self._woken, self._waking = socket.socketpair()

    def __enter__(self) -> Self:
        for end in (self._woken, self._waking):
            end.setblocking(False)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._timer.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._waking.close()
        if not self.has_come:
            for number, handler in self._former.items():
                signal.signal(number, handler)

    def listen(self, cancel: Callable[[], None]) -> None:
        """Have each of the signals cancel the work in the event loop that runs."""
        loop = asyncio.get_running_loop()

        def hear(_number: int, _frame: FrameType | None) -> None:
            self.has_come = True
            # Once the loop is closed, the process ends already, and must not die of another signal before it has.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, cancel)

        # The system may hand a signal to any thread; that of the loop, which alone calls handlers, must wake up.
        loop.add_reader(self._woken, self._woken.recv, 512)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        for number in self._former:
            signal.signal(number, hear)

    def _end(self, cancel: Callable[[], None]) -> None:
        cancel()
        if self._is_ending:
            return
        self._is_ending = True
        try:
            self._timer.start()
        except RuntimeError:
            # The system gives no thread, as at a limit on tasks: this signal needs none.
            signal.signal(signal.SIGALRM, lambda _number, _frame: self._abandon())
            signal.setitimer(signal.ITIMER_REAL, _END_WITHIN_S)


def _abandon(code: int) -> None:
    stop_showing(_RENAME_WITHIN_S)
    os._exit(code)
