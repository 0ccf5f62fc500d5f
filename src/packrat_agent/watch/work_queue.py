"""Keeps what the agent still has to do, merged as it comes.

1. What changed goes before what a full sync is due to ask for anew.
2. A repository whose sync failed comes back, later after each failure in a row.
3. A repository that was just published rests for a second: the dates in its indexes are whole seconds that must rise,
   and never lie in the future.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from packrat_agent.sync.context import Order
from packrat_core.backoff import BackOff

_QUIET_S = 0.05
_LONGEST_BURST_S = 0.5
_RETRY = BackOff(first_s=15.0, longest_s=900.0)
_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Due:
    """What the queue gives out: a repository, what to do with it, and when the agent first heard of the change."""

    repo: str
    order: Order
    heard_at: float | None = None


@dataclass(slots=True)
class WorkQueue:
    """The work that waits, for one event loop."""

    _changed: dict[str, frozenset[str] | None] = field(default_factory=dict)
    _heard_at: dict[str, float] = field(default_factory=dict)
    _due: dict[str, None] = field(default_factory=dict)
    _mirror: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: dict[str, int] = field(default_factory=dict)
    _rests_until: dict[str, float] = field(default_factory=dict)

    def add(self, repos: Mapping[str, Collection[str] | None], *, mirror: bool = False) -> None:
        """Add what changed: repository → package names, None for all; `mirror`: the mirror's own record may have."""
        for name, packages in repos.items():
            before = self._changed.get(name, frozenset())
            merged = None if packages is None or before is None else before | frozenset(packages)
            self._changed[name] = merged
        self._mirror = self._mirror or mirror
        if repos or mirror:
            self.wake()

    def hear(self, repos: Mapping[str, Collection[str] | None], *, mirror: bool = False) -> None:
        """Add what the server told, and remember when it did, to measure how far the mirror lags behind."""
        for name in repos:
            self._heard_at.setdefault(name, time.time())
        self.add(repos, mirror=mirror)

    def add_due(self, repos: Collection[str]) -> None:
        """Add repositories to be asked for anew, after everything that changed."""
        self._due.update(dict.fromkeys(repos))
        self.wake()

    def wake(self) -> None:
        """Let `wait` return."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait until there may be something to do, and then for the end of a burst, which becomes one piece of work."""
        await self._woken.wait()
        self._woken.clear()
        loop = asyncio.get_running_loop()
        end = loop.time() + _LONGEST_BURST_S
        while (left_s := end - loop.time()) > 0:
            try:
                await asyncio.wait_for(self._woken.wait(), min(_QUIET_S, left_s))
            except TimeoutError:
                return
            self._woken.clear()

    def take_mirror(self) -> bool:
        """Say, once, whether the mirror's own record is to be looked at."""
        taken, self._mirror = self._mirror, False
        return taken

    @property
    def is_empty(self) -> bool:
        """Whether no repository waits; one that rests does."""
        return not (self._changed or self._due)

    def take(self) -> Due | None:
        """Take the next piece of work; where only resting repositories wait, give None and wake when the first may go.

        Returns:
            The work, or None.
        """
        now = asyncio.get_running_loop().time()
        self._rests_until = {name: until for name, until in self._rests_until.items() if until > now}
        for name in (*self._changed, *self._due):
            if name in self._rests_until:
                continue
            if name not in self._changed:
                del self._due[name]
                return Due(name, Order(None, reread=True), self._heard_at.pop(name, None))
            packages = self._changed.pop(name)
            reread = packages is None and name in self._due
            if reread:
                # To ask for everything anew covers the change.
                del self._due[name]
            return Due(name, Order(packages, reread=reread), self._heard_at.pop(name, None))
        if not self.is_empty:
            asyncio.get_running_loop().call_at(min(self._rests_until.values()), self.wake)
        return None

    def put_back(self, work: Due) -> None:
        """Take back work that something else than its repository stopped; it goes on as soon as that is over."""
        if work.heard_at is not None:
            self._heard_at[work.repo] = min(work.heard_at, self._heard_at.get(work.repo, work.heard_at))
        self.add({work.repo: work.order.packages})
        if work.order.reread:
            self.add_due([work.repo])

    def note(self, repo: str, *, failed: bool, published: bool) -> None:
        """Let a repository rest after a publication, and come back after a failure."""
        loop = asyncio.get_running_loop()
        if published:
            self._rests_until[repo] = loop.time() + _REST_S
        if not failed:
            self._failures.pop(repo, None)
            return
        self._failures[repo] = self._failures.get(repo, 0) + 1
        loop.call_later(_RETRY.delay_s(self._failures[repo]), self.add, {repo: None})
