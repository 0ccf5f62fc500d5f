"""Ctrl-C waits for a step that it must not break off, and is not lost."""

import signal
import threading
from collections.abc import Callable

import pytest

from packrat_agent.verify.interrupts import uninterrupted


def press_ctrl_c() -> None:
    # To this thread, so that the handler has run once this returns.
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


def test_an_error_of_the_step_is_told_all_the_same() -> None:
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
