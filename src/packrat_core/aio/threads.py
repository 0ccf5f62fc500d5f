"""Runs blocking functions in threads, for coroutines that await them."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread; if cancelled, wait for the thread to finish before re-raising."""
    # As `asyncio.to_thread`, but without a task around it: a sync goes to threads a dozen times.
    step = partial(copy_context().run, work, *args, **kwargs)
    running = asyncio.get_running_loop().run_in_executor(None, step)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        # A cancelled caller never retrieves an error of the work; asyncio would print a traceback of it.
        if not running.cancelled():
            running.exception()
        raise
