"""Keeps the syncs of a mirror out of each other's way.

1. The syncs of one repository take turns (`RepoTurn.lock`). A full sync asks and downloads without the lock, so that
   changes come between; then it looks again at what they left (`RepoTurn.changes`).
2. What is published and written down, and garbage collection, goes one after the other (`Turns.publishing`).
3. While a repository is planned and built (`Turns.working`), its garbage and its staging directories are left alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_agent.sync.slots import Slots

_REST_S = 1.0


class _Everything(Container[str]):
    """Has each SHA-256."""

    def __contains__(self, sha256: object) -> bool:
        return True


EVERYTHING = _Everything()
"""Stands for the downloads of a full sync that will plan all that is left: any file may be among them."""


@dataclass(slots=True)
class RepoTurn:
    """The turns of one repository.

    Attributes:
        lock: Held by the sync whose turn it is.
        changes: How many changes were synced so far.
        fetching: What a full sync that gave up the lock is downloading; other syncs leave it to that one.
        is_unfinished: The index may still name files that are remembered no more, since a sync that removed them has
            not published yet, or failed.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changes: int = 0
    fetching: Container[str] = frozenset()
    is_unfinished: bool = False
    _rests_until: float = 0.0

    def rest(self) -> None:
        """Note a publication: its dates are whole seconds that must rise, and must not lie in the future."""
        self._rests_until = asyncio.get_running_loop().time() + _REST_S

    async def until_rested(self) -> None:
        """Wait until a publication can have a later date than the last one."""
        await asyncio.sleep(max(0.0, self._rests_until - asyncio.get_running_loop().time()))


class Turns:
    """The locks and downloads that the syncs of one mirror share.

    Attributes:
        publishing: Held while the live tree and what belongs to it in the state database is written.
        records: Bounds the requests for records: one batch of a full sync and one of a change at a time.
        downloads: Bounds the downloads, and has each file downloaded once.
    """

    def __init__(self, downloads: SharedDownloads) -> None:
        self.publishing = asyncio.Lock()
        self.records = Slots(2)
        self.downloads = downloads
        self._repos: dict[str, RepoTurn] = {}
        self._working: Counter[str] = Counter()

    def of(self, repo: str) -> RepoTurn:
        """Give the turns of a repository."""
        return self._repos.setdefault(repo, RepoTurn())

    @asynccontextmanager
    async def working(self, repo: str) -> AsyncIterator[None]:
        """Keep garbage collection away from a repository; one that is under way comes to its end first."""
        async with self.publishing:
            self._working[repo] += 1
        try:
            yield
        finally:
            self._working[repo] -= 1

    def is_working(self, repo: str) -> bool:
        """Whether a sync of the repository relies on what is on disk now."""
        return self._working[repo] > 0
