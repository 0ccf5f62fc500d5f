"""Bounds what goes on at the same time for a whole mirror; full syncs always leave room for changes.

slots = Slots(8)                          # full syncs take 7 at most
async with slots.one(urgent=True): ...    # a change waits for no full sync
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

_PATIENCE_S = 10.0
"""For how long full syncs wait for a change: it may come to a download that hangs."""


class Slots:
    """A number of slots, at least one of which is for changes alone."""

    def __init__(self, total: int) -> None:
        """Take the number of slots in all; with 1 there is a second one for changes, which wait for no full sync."""
        self._total = max(total, 2)
        self._taken = 0
        self._taken_by_full_syncs = 0
        self._waiting: list[tuple[bool, asyncio.Future[None]]] = []
        self._expected: dict[str, asyncio.TimerHandle] = {}

    def expect(self, repos: Collection[str]) -> None:
        """Keep full syncs from taking a slot until the changes of these repositories are `served`, but not for long."""
        for repo in repos:
            self._forget(repo)
            self._expected[repo] = asyncio.get_running_loop().call_later(_PATIENCE_S, self.served, repo)

    def served(self, repo: str) -> None:
        """Note that a repository's change needs no slot any more."""
        self._forget(repo)
        self._wake()

    def expect_nothing(self) -> None:
        """Forget what was expected."""
        for repo in list(self._expected):
            self.served(repo)

    @asynccontextmanager
    async def one(self, *, urgent: bool) -> AsyncIterator[None]:
        """Hold a slot; wait for one if need be, changes (`urgent`) before full syncs."""
        await self._until_free(urgent=urgent)
        self._taken += 1
        self._taken_by_full_syncs += not urgent
        try:
            yield
        finally:
            self._taken -= 1
            self._taken_by_full_syncs -= not urgent
            self._wake()

    async def _until_free(self, *, urgent: bool) -> None:
        while not self._is_free(urgent=urgent):
            waiting = (urgent, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            try:
                await waiting[1]
            finally:
                self._waiting.remove(waiting)

    def _forget(self, repo: str) -> None:
        timer = self._expected.pop(repo, None)
        if timer is not None:
            timer.cancel()

    def _is_free(self, *, urgent: bool) -> bool:
        if self._taken >= self._total:
            return False
        if urgent:
            return True
        is_change_waiting = bool(self._expected) or any(is_urgent for is_urgent, _ in self._waiting)
        return not is_change_waiting and self._taken_by_full_syncs < self._total - 1

    def _wake(self) -> None:
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)
