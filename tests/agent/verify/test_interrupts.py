"""Ctrl-C waits for a step that it must not break off, and is not lost."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from packrat_agent.verify.interrupts import uninterrupted

DEADLINE_S = 120.0


def press_ctrl_c() -> None:
    # Sent to this thread, so that the handler has run once this returns.
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def steps(done: list[str], *, asks: bool) -> None:
    with uninterrupted() as interrupt:
        press_ctrl_c()
        done.append("first")
        if asks:
            interrupt()
        done.append("second")
    done.append("behind")


@pytest.mark.parametrize(("asks", "said"), [(True, ["first"]), (False, ["first", "second"])])
def test_ctrl_c_comes_between_two_steps_or_at_the_end(asks: bool, said: list[str]) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        steps(done, asks=asks)
    assert done == said
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_an_error_of_the_step_is_reported_all_the_same() -> None:
    with pytest.raises(ZeroDivisionError), uninterrupted():
        press_ctrl_c()
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_stays() -> None:
    heard: list[int] = []

    def hear(number: int, _frame: object) -> None:
        heard.append(number)

    former = signal.signal(signal.SIGINT, hear)
    try:
        with uninterrupted():
            press_ctrl_c()
            assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, former)


def test_another_thread_changes_nothing() -> None:
    found: list[Callable[..., object] | int | None] = []

    def look() -> None:
        with uninterrupted():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


_AT_A_BAD_MOMENT = """
import signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from packrat_agent.verify.processes import wait_for

def press_ctrl_c(frame, event, arg):
    if event == "c_return" and frame.f_code.co_qualname == "_AcquireFutures.__enter__":
        sys.setprofile(None)
        print("pressed", flush=True)
        signal.raise_signal(signal.SIGINT)

over = threading.Event()
with ThreadPoolExecutor(2) as threads:
    tasks = [threads.submit(over.wait) for _ in range(2)]
    try:
        sys.setprofile(press_ctrl_c)
        wait_for(tasks)
    finally:
        over.set()
"""


def test_ctrl_c_right_after_a_lock_was_taken_leaves_no_thread_that_waits_for_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _AT_A_BAD_MOMENT],
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ended.stdout, ended.returncode) == ("pressed\n", -signal.SIGINT)
