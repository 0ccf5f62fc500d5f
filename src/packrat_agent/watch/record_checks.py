"""Checks the known records of one repository after the other, beside the syncs, which never wait for it.

A repository is checked once in each full sync, and once more after the server was away, since a restore stops it.
(`sync/record_check.py` has the rules.)
"""

import asyncio
from collections.abc import Callable

from packrat_agent.state.record_reads import RecordReads
from packrat_agent.sync.context import Order
from packrat_agent.sync.record_check import check_records
from packrat_agent.upstream.client import Packrat


class RecordChecks:
    """The checks that wait, for one event loop; they outlive a connection."""

    def __init__(self, reads: RecordReads, on_end: Callable[[], None]) -> None:
        """Begin with no check that waits; `on_end` is called when none waits any more."""
        self._reads = reads
        self._on_end = on_end
        self._read_since: float | None = None
        self._waiting: dict[str, float | None] = {}
        self._checking: str | None = None
        self._checked: set[str] = set()
        self._woken = asyncio.Event()

    @property
    def are_over(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and self._checking is None

    def begin(self, read_since: float | None) -> None:
        """Check each repository once in a full sync that begins.

        read_since: where somebody asked for it, all records are read that were not read since then; epoch seconds.
        """
        self._read_since = read_since
        self._checked.clear()

    def check_again(self) -> None:
        """Check each repository once more, since the server may be another one."""
        self._checked.clear()

    def note_sync(self, repo: str, order: Order) -> None:
        """Note that a repository was synced, and check it if it is time."""
        # Once only, or a server that gives another answer each time would be asked for everything again and again.
        if order.packages is not None or repo in self._checked:
            return
        self._checked.add(repo)
        self._waiting[repo] = self._read_since
        self._woken.set()

    async def run(self, server: Packrat) -> None:
        """Check what waits, until cancelled.

        Raises:
            PackratError: The server can't be asked any more, or the disk fails; what is not checked goes on waiting.
        """
        self.check_again()
        while True:
            while self._waiting:
                await self._check(server)
            self._on_end()
            self._woken.clear()
            await self._woken.wait()

    async def _check(self, server: Packrat) -> None:
        repo = next(iter(self._waiting))
        read_since = self._waiting.pop(repo)
        self._checking = repo
        try:
            await check_records(server, repo, self._reads, read_since)
        except BaseException:
            self._waiting.setdefault(repo, read_since)
            raise
        finally:
            self._checking = None
