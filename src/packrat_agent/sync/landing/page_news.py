"""Remembers what the lists of packages on the landing page don't show yet.

A list is looked at only once its repository was synced by this process: before, the state database may lack what a
crash cut off. Then a sync notes which packages it changed, so that the list costs what changed.
"""

import asyncio
import threading
from collections.abc import Collection

from packrat_agent.model.records import Repo


class PageNews:
    """What changed since the lists were published; any thread may note something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._synced: set[str] = set()
        self._changed: dict[str, frozenset[str] | None] = {}
        self._current: dict[str, Repo] = {}
        self.arrived = asyncio.Event()
        """Set, in the event loop, when the page is to show something new."""

    def note(self, repo: str, packages: Collection[str] | None) -> None:
        """Note that packages of a repository changed, by their names on the server; None: any of them may have."""
        with self._lock:
            before = self._changed.get(repo, frozenset())
            self._changed[repo] = None if packages is None or before is None else before.union(packages)

    def note_synced(self, repo: str) -> None:
        """Note that the state database has what the index of a repository names."""
        with self._lock:
            self._synced.add(repo)

    def is_synced(self, repo: Repo) -> bool:
        """Tell whether the list of a repository can be made."""
        return repo.name in self._synced

    def take(self, repo: Repo) -> frozenset[str] | None:
        """Return the changes since the list of a repository was current; None: not known.

        If the list can't be published, the next call gives None.
        """
        with self._lock:
            changed = self._changed.pop(repo.name, frozenset[str]())
            return changed if self._current.pop(repo.name, None) == repo else None

    def note_current(self, repos: Collection[Repo]) -> None:
        """Note that the lists of these repositories were published as they are."""
        with self._lock:
            self._current.update({repo.name: repo for repo in repos})
