"""Keeps what the agent still has to do, merged as it comes.

1. Changes and the repositories that a full sync asks for again are taken separately, and handled side by side.
2. While a full sync reads a repository for the first time, only packages that were named are taken: to list the others
   would read every record twice.
3. A repository whose sync failed comes back, later after each failure in a row.
4. A bounded number of names is kept; beyond it, all of the repository that has the most of them is looked at.
5. A repository that was just published rests for a second: the dates in its indexes are whole seconds that must rise,
   and never lie in the future.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from packrat_agent.sync.context import Order
from packrat_core.backoff import BackOff

_RETRY = BackOff(first_s=15.0, longest_s=900.0)


@dataclass(slots=True)
class _Change:
    """What changed in one repository: named packages, and whether anything else may have."""

    packages: frozenset[str] = frozenset()
    everything: bool = False
    heard_at: float | None = None


@dataclass(slots=True)
class WorkQueue:
    """The work that waits, for one event loop.

    Attributes:
        quiet_s: A burst of changes is over when nothing has come for this time.
        longest_burst_s: The first change of a burst waits no longer than this.
        rest_s: How long a repository rests that was just published.
        names_limit: Names of packages that are kept, of all repositories together.
    """

    quiet_s: float = 0.05
    longest_burst_s: float = 0.5
    rest_s: float = 1.0
    names_limit: int = 200_000
    _changed: dict[str, _Change] = field(default_factory=dict)
    _due: dict[str, None] = field(default_factory=dict)
    _mirror: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: dict[str, int] = field(default_factory=dict)
    _rests_until: dict[str, float] = field(default_factory=dict)

    def add(
        self, repos: Mapping[str, Collection[str] | None], *, mirror: bool = False, heard_at: float | None = None
    ) -> None:
        """Add what changed.

        Args:
            repos: Repository → package names, None for all.
            mirror: The mirror's own record may have changed.
            heard_at: When the server announced it; None if it did not.
        """
        for name, packages in repos.items():
            change = self._changed.setdefault(name, _Change())
            change.packages |= frozenset(packages or ())
            change.everything = change.everything or packages is None
            change.heard_at = min((at for at in (change.heard_at, heard_at) if at is not None), default=None)
        self._forget_names()
        self._mirror = self._mirror or mirror
        if repos or mirror:
            self.wake()

    def _forget_names(self) -> None:
        changes = self._changed.values()
        while sum(len(change.packages) for change in changes) > self.names_limit:
            most = max(changes, key=lambda change: len(change.packages))
            most.packages, most.everything = frozenset(), True

    def hear(self, repos: Mapping[str, Collection[str] | None], *, mirror: bool = False) -> None:
        """Add what the server announced, and remember when it did, to measure how far the mirror lags behind."""
        self.add(repos, mirror=mirror, heard_at=time.time())

    def add_due(self, repos: Collection[str]) -> None:
        """Add repositories to be asked for again; this covers changes that the server did not name."""
        for name in repos:
            change = self._changed.get(name)
            if change is not None and change.heard_at is None and not change.packages:
                del self._changed[name]
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
        end = loop.time() + self.longest_burst_s
        while (left_s := end - loop.time()) > 0:
            try:
                # Not wait_for: in Python 3.11 it goes on where it is cancelled at the moment that something comes.
                async with asyncio.timeout(min(self.quiet_s, left_s)):
                    await self._woken.wait()
            except TimeoutError:
                return
            self._woken.clear()

    def take_mirror(self) -> bool:
        """Say, once, whether the mirror's own record must be looked at."""
        taken, self._mirror = self._mirror, False
        return taken

    @property
    def due(self) -> frozenset[str]:
        """The repositories that wait to be asked for again."""
        return frozenset(self._due)

    def has_change(self, name: str) -> bool:
        """Whether a change of a repository waits."""
        return name in self._changed

    def ready(self, busy: Collection[str], named_only: Collection[str]) -> frozenset[str]:
        """Name the repositories whose changes `take` would give out now; the arguments are the same."""
        now = asyncio.get_running_loop().time()
        self._rests_until = {name: until for name, until in self._rests_until.items() if until > now}
        return frozenset(
            name
            for name, change in self._changed.items()
            if name not in busy and name not in self._rests_until and (change.packages or name not in named_only)
        )

    def take(self, busy: Collection[str] = (), named_only: Collection[str] = ()) -> tuple[str, Order] | None:
        """Take the next change; if only resting repositories wait, give None and wake when the first may go.

        Args:
            busy: Repositories that a change of is worked on.
            named_only: Repositories of which only packages that were named are taken; the rest waits.

        Returns:
            The repository and what to do, or None.
        """
        ready = self.ready(busy, named_only)
        name = next((name for name in self._changed if name in ready), None)
        if name is None:
            if waiting := [until for name, until in self._rests_until.items() if name in self._changed]:
                asyncio.get_running_loop().call_at(min(waiting), self.wake)
            return None
        change = self._changed.pop(name)
        if change.everything and name in named_only:
            self._changed[name] = _Change(everything=True, heard_at=change.heard_at)
            return name, Order(change.packages, heard_at=change.heard_at)
        packages = None if change.everything else change.packages
        return name, Order(packages, change.packages, heard_at=change.heard_at)

    def take_due(self, busy: Collection[str] = ()) -> tuple[str, Order] | None:
        """Take the next repository to ask for again, none of the busy ones."""
        name = next((name for name in self._due if name not in busy), None)
        if name is None:
            return None
        del self._due[name]
        return name, Order(None, reread=True)

    def put_back(self, repo: str, order: Order) -> None:
        """Take back work that something other than its repository stopped; it goes on as soon as that is over."""
        if order.reread:
            self.add_due([repo])
        else:
            self.add({repo: order.packages}, heard_at=order.heard_at)
            if order.packages is None and order.named:
                self.add({repo: order.named}, heard_at=order.heard_at)

    def note(self, repo: str, *, failed: bool, published: bool) -> None:
        """Let a repository rest after a publication, and come back after a failure.

        Args:
            repo: The repository that was synced.
            failed: Whether it must be synced again.
            published: Whether something of it was published.
        """
        loop = asyncio.get_running_loop()
        if published:
            self._rests_until[repo] = loop.time() + self.rest_s
        if not failed:
            self._failures.pop(repo, None)
            return
        self._failures[repo] = self._failures.get(repo, 0) + 1
        loop.call_later(_RETRY.delay_s(self._failures[repo]), self.add, {repo: None})
