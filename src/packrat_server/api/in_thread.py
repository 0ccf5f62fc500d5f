"""Runs work in a thread for a caller that may hang up before the work ends."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

P = ParamSpec("P")
T = TypeVar("T")


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
    running = asyncio.ensure_future(run_in_threadpool(work, *args, **more))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):
            await running
        raise
