"""The agent's workers: one for the changes of each repository, one for its full sync, one for the mirror itself.

They work side by side. What stops one of them is kept until it is asked for.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from enum import Enum, auto
from functools import partial
from typing import Any

from packrat_core.errors import DiskError


class Lane(Enum):
    """A kind of work; there is one worker at a time for each repository in each lane."""

    CHANGE = auto()
    FULL = auto()
    MIRROR = auto()
    HEALTH = auto()


class Workers:
    """The workers of one connection."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        """Begin without workers; `on_end` is called whenever one ends."""
        self._on_end = on_end
        self._tasks: dict[tuple[Lane, str], asyncio.Task[None]] = {}
        self._errors: list[BaseException] = []
        self.finished = 0
        """Number of pieces of work that came to their end."""

    def start(
        self, lane: Lane, work: Coroutine[Any, Any, None], repo: str = "", undo: Callable[[], None] = lambda: None
    ) -> None:
        """Start to work.

        Args:
            lane: What is worked on.
            work: The work.
            repo: The repository; '' for the mirror.
            undo: Called if the work does not come to its end, even if it was stopped before it began.
        """
        task = asyncio.ensure_future(work)
        self._tasks[lane, repo] = task
        task.add_done_callback(partial(self._end, lane, repo, undo))

    def busy(self, lane: Lane) -> frozenset[str]:
        """Name the repositories that are worked on; '' is the mirror."""
        return frozenset(repo for at, repo in self._tasks if at is lane)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is worked on."""
        return not self._tasks

    def take_error(self) -> BaseException | None:
        """Return the error that stopped a worker, once; of several, the disk's come last, since the others end more."""
        self._errors.sort(key=lambda error: isinstance(error, DiskError))
        error = self._errors[0] if self._errors else None
        self._errors.clear()
        return error

    async def stop(self, repos: Collection[str] | None = None) -> None:
        """Stop the work on some repositories, or all work, and wait for its end."""
        tasks = [task for (_, repo), task in self._tasks.items() if repos is None or repo in repos]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, lane: Lane, repo: str, undo: Callable[[], None], task: "asyncio.Task[None]") -> None:
        del self._tasks[lane, repo]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._errors.append(error)
        if error is not None or task.cancelled():
            undo()
        else:
            self.finished += 1
        self._on_end()
