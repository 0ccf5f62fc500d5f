"""Runs work in a thread for a caller that may hang up before the work ends.

These threads are for the database and for what takes the processor a while. Files are read and written by other
threads, those of anyio's default limiter: while a disk hangs, records are read and changed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

P = ParamSpec("P")
T = TypeVar("T")

# One of each event loop, as anyio's own.
_limiter: RunVar[CapacityLimiter] = RunVar("packrat_server_threads")


def limit_threads(count: int) -> None:
    """Set the number of threads that work for the requests of this event loop."""
    _limiter.set(CapacityLimiter(count))


async def run_to_end(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Run work in a thread, and wait for its end even if the caller is cancelled.

    A thread can't be stopped. If the caller went on without it, its place in the pool would count as free, and callers
    who hang up could start any number of threads.

    Args:
        work: The work.
        args: Its arguments.
        more: Its keyword arguments.

    Returns:
        What the work returns. What it raises is raised, too.
    """
    running = asyncio.ensure_future(to_thread.run_sync(partial(work, *args, **more), limiter=_limiter.get(None)))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):
            await running
        raise
