"""Tells `status` how far the sync of a repository has come: which records it reads, which files it fetches.

Small work is over before anybody looks, so it is not written down: `status` learns of more than a hundred records or
files, and of anything that takes longer than a second.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from packrat_agent.state.fact_table import Facts
from packrat_agent.state.facts import RepoWork
from packrat_core.errors import DiskError

_FEW = 100
_TELL_S = 1.0


class WorkNotes:
    """The notes on one sync; they are written in threads, one at a time, and dropped at its end."""

    def __init__(self, facts: Facts, repo: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._facts = facts
        self._repo = repo
        self._began = time.time()
        self._told_s = self._clock()
        self._writing: asyncio.Future[None] | None = None
        self._is_told = False
        self._done = 0
        self._of = 0

    def read(self, left: int, new: int) -> None:
        """Note how many records are still to be read, and how many of them are of new files."""
        if left > _FEW or self._is_told:
            self._tell(RepoWork(began=self._began, reading=left, new=new))

    def fetch(self, of: int) -> None:
        """Note how many files will be fetched."""
        self._done, self._of = 0, of
        if of > _FEW or self._is_told:
            self._tell(RepoWork(began=self._began, done=0, of=of))

    def count(self, files: int) -> None:
        """Count files that were fetched; called for a part of a file, too."""
        self._done += files
        if self._clock() - self._told_s > _TELL_S:
            self._tell(RepoWork(began=self._began, done=self._done, of=self._of))

    async def end(self) -> None:
        """Take the notes back."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._is_told:
            with suppress(DiskError):
                await asyncio.to_thread(self._facts.drop_work, self._repo)

    def _tell(self, work: RepoWork) -> None:
        if self._writing is not None and not self._writing.done():
            return
        self._is_told = True
        self._told_s = self._clock()
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, work)

    def _write(self, work: RepoWork) -> None:
        # A full disk stops the sync itself, and is reported there.
        with suppress(DiskError):
            self._facts.write_work(self._repo, work)
