"""Runs several workers that share one piece of work."""

import asyncio
from collections.abc import Awaitable, Callable


async def run_workers(work: Callable[[], Awaitable[None]], count: int) -> None:
    """Run `work` `count` times at once; if one fails or this is cancelled, cancel the others and wait for their end.

    Unlike a TaskGroup it raises what the first one raised, and not a group of errors.
    """
    workers = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
