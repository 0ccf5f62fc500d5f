"""Ends work cleanly on SIGTERM and SIGINT, and calls back on other signals such as SIGHUP and SIGUSR1."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from packrat_agent.publish.pointers import stop_showing

T = TypeVar("T")

_END_WITHIN_S = 4.0
_RENAME_WITHIN_S = 20.0

EndWork = Callable[[], None]
"""Ends the work as a signal does."""


def until_signalled(
    start: Callable[[], Coroutine[Any, Any, T]],
    others: Mapping[signal.Signals, Callable[[EndWork], None]] | None = None,
) -> T | None:
    """Run to the end, or until SIGTERM or SIGINT; then None.

    Work that does not stop within four seconds is abandoned with the process: every step is safe against that. Only a
    publication that clients can see half of is ended first, for up to 20 seconds more.

    Args:
        start: Makes the work.
        others: What to call on other signals, with a function that ends the work.
    """
    abandon = threading.Timer(_END_WITHIN_S, _abandon)
    abandon.daemon = True

    async def guarded() -> T | None:
        task = asyncio.ensure_future(start())

        def cancel() -> None:
            task.cancel()

        def end() -> None:
            if not abandon.is_alive():
                abandon.start()
            cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        for number, call in (others or {}).items():
            loop.add_signal_handler(number, call, cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return None

    try:
        return asyncio.run(guarded())
    finally:
        abandon.cancel()


def _abandon() -> None:
    stop_showing(_RENAME_WITHIN_S)
    os._exit(0)
