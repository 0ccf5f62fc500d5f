"""Ends work cleanly on SIGTERM and SIGINT.

Takes: what to run.
Gives: its result, None where a signal ended it.
Touches: this process's signal handlers.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def until_signalled(start: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """Run to the end, or until SIGTERM or SIGINT; then None."""

    async def guarded() -> T | None:
        task = asyncio.ensure_future(start())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return None

    return asyncio.run(guarded())
