"""Has each file downloaded once, however many syncs want it at the same time, and bounds the downloads of a mirror.

Each sync has a staging directory of its own. When a file is complete, the others that want it get a hard link:

    with downloads.share(staging, urgent=True) as share:
        share.want(sha256s)
        staged = await share.get(sha256, download)
        async with share.claim(sha256s) as claim: ...  # several with one request
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from packrat_agent.sync.fetch.staging import link_or_copy
from packrat_agent.sync.slots import Slots


class SharedDownloads:
    """The downloads of all syncs that are under way."""

    def __init__(self, parallel: int, left_over: Mapping[str, Path] | None = None, largest: int = sys.maxsize) -> None:
        """Prepare for syncs.

        Args:
            parallel: How many downloads may go on at once.
            left_over: What an earlier process left (see `staging`).
            largest: Bytes of the largest file that may be a copy of what is wanted.
        """
        self.parallel = parallel
        self.largest = largest
        self.left_over = dict(left_over or {})
        self.slots = Slots(parallel)
        self.shares: list[Share] = []
        self.in_flight: dict[str, asyncio.Future[None]] = {}
        self.ended = 0

    @contextmanager
    def share(self, staging: Path, *, urgent: bool) -> Iterator["Share"]:
        """Take part for as long as a sync needs the files in its staging directory; `urgent`: it syncs a change."""
        share = Share(self, staging, urgent=urgent)
        self.shares.append(share)
        try:
            yield share
        finally:
            self.shares.remove(share)
            self.ended += 1


class Share:
    """What one sync wants, and which verified files it has in its staging directory."""

    def __init__(self, downloads: SharedDownloads, staging: Path, *, urgent: bool) -> None:
        self.staging = staging
        self.parallel = downloads.parallel
        self.largest = downloads.largest
        self._downloads = downloads
        self._urgent = urgent
        self._wanted: set[str] = set()
        self._staged: dict[str, Path] = {}
        self._ended_before = downloads.ended

    def want(self, sha256s: Collection[str]) -> bool:
        """Get what an earlier process left, what other syncs have in staging now, and what they download later.

        Returns:
            Whether other syncs may have published some of these files since this one began: then the tree has them.
        """
        self._wanted.update(sha256s)
        if self._downloads.left_over:
            for sha256 in sha256s:
                self._take_left_over(sha256)
        has_missed = self._downloads.ended > self._ended_before
        for other in self._downloads.shares:
            for sha256, staged in list(other._staged.items()):
                has_missed |= not self._take(sha256, staged)
        return has_missed

    def _take_left_over(self, sha256: str) -> None:
        left_over, target = self._downloads.left_over, self.staging / sha256
        complete = left_over.get(sha256)
        if complete is not None and not os.path.lexists(target):
            # It stays where it is: another sync may want it, too.
            with suppress(OSError):
                link_or_copy(complete, target)
        part = left_over.pop(f"{sha256}.part", None)
        if part is not None:
            with suppress(OSError):
                part.rename(self.staging / part.name)

    async def get(self, sha256: str, download: Callable[[], Awaitable[Path]]) -> Path:
        """Give a wanted file that this or another sync staged, or download it.

        Raises:
            PackratError: The file can't be downloaded.
        """
        in_flight = self._downloads.in_flight
        while (staged := self._staged.get(sha256)) is None:
            if (other := in_flight.get(sha256)) is not None:
                # It may fail; then this sync tries it.
                await asyncio.wait([other])
                continue
            async with self._downloads.slots.one(urgent=self._urgent):
                # Another sync may have been quicker while this one waited for a slot.
                if sha256 not in in_flight and sha256 not in self._staged:
                    await self._download(sha256, download)
        return staged

    @asynccontextmanager
    async def claim(self, sha256s: Iterable[str]) -> AsyncIterator["Claim"]:
        """Take a slot, and those files that nobody has or downloads; others that want them wait, as for a download."""
        async with self._downloads.slots.one(urgent=self._urgent):
            in_flight, loop = self._downloads.in_flight, asyncio.get_running_loop()
            open_ = [sha256 for sha256 in sha256s if sha256 not in in_flight and sha256 not in self._staged]
            claim = Claim(self._note, {sha256: loop.create_future() for sha256 in open_}, in_flight)
            try:
                yield claim
            finally:
                claim.give_up()

    def _note(self, sha256: str, staged: Path) -> None:
        self._staged[sha256] = staged
        for share in self._downloads.shares:
            share._take(sha256, staged)

    async def _download(self, sha256: str, download: Callable[[], Awaitable[Path]]) -> None:
        in_flight = self._downloads.in_flight
        in_flight[sha256] = over = asyncio.get_running_loop().create_future()
        try:
            self._note(sha256, await download())
        finally:
            del in_flight[sha256]
            over.set_result(None)

    def find(self, sha256: str) -> Path | None:
        """Give a file that is in staging already, verified."""
        return self._staged.get(sha256)

    def forget(self, sha256s: Iterable[str]) -> None:
        """Have files staged anew whose copies in staging were removed, since they can't be used."""
        for sha256 in sha256s:
            self._staged.pop(sha256, None)

    def _take(self, sha256: str, staged: Path) -> bool:
        """Link a file that another sync has staged, if it is wanted; tells whether none of them is missing now."""
        if sha256 not in self._wanted or sha256 in self._staged:
            return True
        target = self.staging / sha256
        try:
            os.link(staged, target, follow_symlinks=False)
        except OSError:
            # A sync removes what it has published from staging, one file after the other, before it ends.
            return False
        self._staged[sha256] = target
        return True


class Claim:
    """Files that one request is to bring."""

    def __init__(
        self,
        note: Callable[[str, Path], None],
        over: dict[str, "asyncio.Future[None]"],
        in_flight: dict[str, "asyncio.Future[None]"],
    ) -> None:
        """Say of these files that they are in flight.

        Args:
            note: Takes note of a staged file.
            over: SHA-256 → what others wait for.
            in_flight: What is in flight in all syncs.
        """
        self._note = note
        self._over = over
        self._in_flight = in_flight
        in_flight.update(over)

    @property
    def sha256s(self) -> Collection[str]:
        """Those that are still in flight."""
        return self._over.keys()

    def have(self, staged: Mapping[str, Path]) -> None:
        """Note files that are staged and verified, each of them one of these."""
        for sha256, path in staged.items():
            self._note(sha256, path)
            self._end(sha256)

    def give_up(self) -> None:
        """Leave the files that have not come to others."""
        for sha256 in list(self._over):
            self._end(sha256)

    def _end(self, sha256: str) -> None:
        del self._in_flight[sha256]
        self._over.pop(sha256).set_result(None)
