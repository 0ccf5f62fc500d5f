"""Polls of the original server: what they hear, what they miss, and how they end."""

import asyncio
import threading
from dataclasses import dataclass, field

from support.original_manners import Manners
from support.original_store import StoredPackage, StoredRepo


@dataclass(slots=True)
class _Poll:
    repo: str
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    names: list[str] = field(default_factory=list)


class Polls:
    """The polls that are open."""

    def __init__(self) -> None:
        self._open: list[_Poll] = []
        self._again: dict[str, list[str]] = {}
        self._opened = threading.Condition()
        self.most = 0
        """The most that were ever open at the same time."""

    def until_open(self, repo: str) -> None:
        """Wait until a poll of that repository is open; may be called from any thread."""
        with self._opened:
            assert self._opened.wait_for(lambda: any(poll.repo == repo for poll in list(self._open)), 120), repo

    def tell(self, file: StoredPackage, repos: dict[str, StoredRepo], manners: Manners) -> None:
        """Wake the polls that are open at this moment: one name each; who polls a moment later hears nothing."""
        for poll in self._open:
            repo = repos.get(poll.repo)
            if manners.spurious or (repo is not None and repo.tag in file.tags and file.suite in repo.suites):
                poll.names.append(file.package)
                poll.heard.set()

    async def hear(self, repo: str, timeout_s: float, manners: Manners) -> list[str]:
        """Hear what happens from now on; what happened before is forgotten.

        Args:
            repo: the repository's name.
            timeout_s: as the client wants it.
            manners: the server's.

        Raises:
            OSError: The poll took too long, and the worker was killed.
        """
        if manners.gone or manners.deaf:
            return []
        if again := self._again.pop(repo, None):
            return again
        poll = _Poll(repo)
        with self._opened:
            self._open.append(poll)
            self._opened.notify_all()
        self.most = max(self.most, len(self._open))
        timeout_s = max(timeout_s, manners.minimum_s)
        try:
            async with asyncio.timeout(min(timeout_s, manners.maximum_s)):
                await poll.heard.wait()
                if manners.late:
                    await asyncio.Event().wait()
        except TimeoutError:
            if timeout_s > manners.maximum_s:
                raise OSError("the worker is killed") from None
        finally:
            self._open.remove(poll)
        if poll.names and manners.twice:
            self._again[repo] = poll.names[:1]
        return poll.names if manners.late else poll.names[:1]
