"""Signals that call back: none ends the process, whenever it comes."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from packrat_agent.watch import signals
from packrat_agent.watch.signals import CaughtSignals, until_signalled


@pytest.fixture
def default_stops() -> Iterator[None]:
    """Give back the signals that work which was stopped keeps."""
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_comes_while_no_work_listens_is_for_the_next_work() -> None:
    heard: list[str] = []

    def run(name: str, caught: CaughtSignals) -> None:
        async def work() -> None:
            await asyncio.wait_for(asyncio.Event().wait(), 60)

        def end(end_work: object) -> None:
            heard.append(name)
            assert callable(end_work)
            end_work()

        assert until_signalled(work, {signal.SIGUSR1: end}, caught) is None

    with CaughtSignals([signal.SIGUSR1]) as caught:
        for name in ("first", "second"):
            os.kill(os.getpid(), signal.SIGUSR1)
            run(name, caught)
    assert heard == ["first", "second"]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_signal_during_the_work_is_heard_at_once_and_once() -> None:
    heard: list[int] = []
    # Programs that nohup has started ignore this signal.
    before = signal.getsignal(signal.SIGHUP)

    async def work() -> int:
        for number in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(60):
                while len(heard) == number:
                    await asyncio.sleep(0)
        return len(heard)

    assert until_signalled(work, {signal.SIGHUP: lambda _: heard.append(1)}) == 3
    assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.usefixtures("default_stops")
def test_a_stop_is_heard_where_the_system_gives_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def work() -> str:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        except TimeoutError:
            return "not heard"
        finally:
            # What does not end by itself is abandoned all the same.
            watched.append(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
        return ""

    watched: list[bool] = []
    assert until_signalled(work) is None
    assert (watched, signal.getitimer(signal.ITIMER_REAL)[0]) == ([True], 0)
    # What was open is closed now; a second signal, such as another Ctrl-C, doesn't break that off.
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)


def test_work_that_does_not_end_is_abandoned_with_the_code_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script must not take a sync that was stopped like this for one that is done."""
    monkeypatch.setattr(signals, "_END_WITHIN_S", 0.0)

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.Event().wait(), 60)

    child = os.fork()
    if not child:
        until_signalled(work, abandoned_code=12)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 12


@pytest.mark.usefixtures("default_stops")
def test_a_signal_that_the_system_hands_to_another_thread_wakes_the_loop() -> None:
    """As it may where the process was stopped: systemd sends SIGCONT behind SIGTERM."""
    sleeps, is_late = threading.Event(), threading.Event()

    def take() -> None:
        # The loop gives way to this thread only where it begins to wait.
        sleeps.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    async def work() -> None:
        threading.Thread(target=take).start()
        for _ in range(3):
            # What woke the loop as the work began is read.
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(5, is_late.set)
        sleeps.set()
        await asyncio.Event().wait()

    assert until_signalled(work) is None
    assert not is_late.is_set()


@pytest.mark.usefixtures("default_stops")
def test_a_stop_that_comes_while_another_signal_ends_the_work_is_known() -> None:
    """So that the agent does not go on with the configuration that a SIGHUP has just read."""

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with CaughtSignals([signal.SIGHUP]) as caught:
        assert until_signalled(work, {signal.SIGHUP: lambda end: end()}, caught) is None
        assert caught.has_stopped
