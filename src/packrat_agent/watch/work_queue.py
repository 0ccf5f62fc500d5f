"""Keeps what the agent still has to look at, merged as it comes: what changed before what is only due.

Takes: News of changes; repositories to be asked anew.
Gives: one chunk of work after the other.
Touches: nothing.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """One repository to look at: `packages` None for all of it; `reread`: ask for every record anew."""

    repo: str
    packages: frozenset[str] | None
    reread: bool = False


class WorkQueue:
    """What is queue to the mirror; for one event loop."""

    def __init__(self) -> None:
        self._urgent: dict[str, frozenset[str] | None] = {}
        self._due: dict[str, None] = {}
        self._mirror = False
        self._woken = asyncio.Event()

    def add(self, repos: Mapping[str, Collection[str] | None], *, mirror: bool = False) -> None:
        """Add what changed: repository → package names, None for all; `mirror`: its list of repositories may have."""
        for name, packages in repos.items():
            before = self._urgent.get(name, frozenset())
            merged = None if packages is None or before is None else before | frozenset(packages)
            self._urgent[name] = merged
        self._mirror = self._mirror or mirror
        if repos or mirror:
            self._woken.set()

    def add_due(self, repos: Collection[str]) -> None:
        """Add repositories that are to be asked for anew, after everything that changed."""
        self._due.update(dict.fromkeys(repos))
        self.wake()

    def wake(self) -> None:
        """Let `wait` return."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait until something is added, or somebody calls `wake`."""
        await self._woken.wait()
        self._woken.clear()

    async def settle(self, quiet_s: float, longest_s: float) -> None:
        """Wait until nothing was added for `quiet_s`, but not longer than `longest_s`: a burst is one chunk of work."""
        end = asyncio.get_running_loop().time() + longest_s
        while (left_s := end - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.wait_for(self._woken.wait(), min(quiet_s, left_s))
            except TimeoutError:
                return
            self._woken.clear()

    def take_mirror(self) -> bool:
        """Say, once, whether the mirror's own record is to be looked at."""
        taken, self._mirror = self._mirror, False
        return taken

    @property
    def is_empty(self) -> bool:
        """Whether no repository is queue anything."""
        return not (self._urgent or self._due)

    def take(self, resting: Collection[str]) -> Work | None:
        """Take the next chunk of work; None where nothing is queue but to repositories that rest."""
        for name in self._urgent:
            if name in resting:
                continue
            packages = self._urgent.pop(name)
            if packages is None and name in self._due:
                # Asking anew covers it.
                del self._due[name]
                return Work(name, None, reread=True)
            return Work(name, packages)
        for name in self._due:
            if name in resting:
                continue
            del self._due[name]
            return Work(name, None, reread=True)
        return None
