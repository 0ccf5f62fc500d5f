"""Work in a thread sees the context of who asked for it, and is over before anybody who asked for it goes on."""

import asyncio
import gc
import threading
from contextvars import ContextVar

import pytest

from packrat_core.aio.threads import in_thread

_WHO = ContextVar("who", default="nobody")


def test_the_work_sees_the_context_and_changes_none_of_it() -> None:
    def work(greeting: str, *, mark: str) -> str:
        found = f"{greeting} {_WHO.get()}{mark} {threading.current_thread() is not threading.main_thread()}"
        _WHO.set("somebody else")
        return found

    async def ask() -> tuple[str, str]:
        _WHO.set("somebody")
        return await in_thread(work, "hello", mark="!"), _WHO.get()

    assert asyncio.run(ask()) == ("hello somebody! True", "somebody")


def test_a_cancelled_caller_waits_until_the_work_is_over() -> None:
    may_end, has_ended = threading.Event(), []

    def work() -> None:
        may_end.wait(60)
        has_ended.append(True)

    async def cancel() -> None:
        waiting = asyncio.ensure_future(in_thread(work))
        await asyncio.sleep(0)
        waiting.cancel()
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert has_ended

    asyncio.run(cancel())


def test_an_error_of_the_work_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 // 0))


def test_an_error_of_work_that_nobody_waits_for_is_not_printed() -> None:
    may_end, printed = threading.Event(), []

    def work() -> None:
        may_end.wait(60)
        raise ValueError

    async def cancel() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: printed.append(told["message"]))
        waiting = asyncio.ensure_future(in_thread(work))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancel())
    gc.collect()
    assert not printed
