"""Puts small package files into staging, many with each request; single downloads bring what no bundle brought.

1. Nothing in a bundle is trusted: a file with another SHA-256 than its record says is dropped. It is then downloaded
   alone, which reports what is wrong.
2. A bundle that breaks off, or is cancelled, has brought what was complete by then. The next one waits a while, as long
   as the server asks for. After _FAILURES in a row, or one that is refused or can't be read, no more are asked for in
   this fetch.
3. A bundle takes one slot, and its files count as in flight until each is staged or the bundle is over.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from packrat_agent.model.entries import Placement, Plan
from packrat_agent.sync.fetch.shared_downloads import Claim, Share
from packrat_core.aio.threads import in_thread
from packrat_core.backoff import BackOff
from packrat_core.errors import DiskError, PackratError, ServerUnavailable
from packrat_core.failpoints import done
from packrat_core.fs.atomic import write_all
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.free_space import keep_room

AT_ONCE = 150
"""Files in one question; with more, it would be too long for a server that the mirror has no login for."""
_WRITTEN_BYTES = 1024 * 1024
"""Files of so many bytes are written together, and held in memory until then."""
_WRITTEN_S = 5.0
"""On a slow line they are written after so many seconds."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PATIENCE_S = 90.0
"""For as long a server may have all files of a sync wait, by the word of its answers."""
_FAILURES = 3
_WAIT_S = (0.5, 10.0)
"""The first and the longest delay after a bundle that broke off."""


class OpenedBundle(Protocol):
    """The server's answer with several files."""

    @property
    def looked_at(self) -> int:
        """How many of the requested files it covers, from the first one on."""

    def files(self) -> AsyncIterator[tuple[str, bytes]]:
        """The files as they come: URI and content."""


OpenBundle = Callable[[Sequence[str]], AbstractAsyncContextManager[OpenedBundle]]
"""URIs of package files → the answer with those that are small."""


def for_bundles(waiting: Sequence[Placement], plan: Plan, staging: Path) -> list[Placement]:
    """Choose the files that nothing on this machine can be used for, not even the beginning of an earlier download.

    Args:
        waiting: What is wanted.
        plan: What of it is elsewhere in the tree.
        staging: The staging directory.

    Raises:
        DiskError: Staging can't be read.
    """
    with as_disk_error("read", staging):
        names = {name.removesuffix(".part") for name in os.listdir(staging)}
    names.update(plan.sources)
    return [
        placement
        for placement in waiting
        if placement.file.uri not in plan.missing and placement.file.sha256 not in names
    ]


class BundledFetch:
    """The bundles of one fetch."""

    def __init__(
        self,
        waiting: list[Placement],
        share: Share,
        open_bundle: OpenBundle,
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Prepare.

        Args:
            waiting: The files, each SHA-256 once; those at the end come first.
            share: The sync's part in the downloads of the mirror.
            open_bundle: Opens a bundle.
            on_progress: Called with (files done, bytes downloaded) since the last call.
        """
        self._waiting = waiting
        self._share = share
        self._open_bundle = open_bundle
        self._on_progress = on_progress
        self._writing = asyncio.Lock()
        self._failures = 0
        self._failed_at = 0.0
        self._is_over = False
        self.staged: dict[str, Path] = {}
        """SHA-256 → verified file in staging."""

    async def run(self) -> None:
        """Ask for bundles until nothing waits, or bundles don't help.

        Raises:
            ExceptionGroup: DiskErrors: staging can't be written.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._share.parallel, -(-len(self._waiting) // AT_ONCE))):
                group.create_task(self._work())

    async def _work(self) -> None:
        wait_s = 0.0
        while self._waiting and self._failures < _FAILURES and not self._is_over:
            if wait_s:
                # No other sync needs the files that wait, but others may use the slot.
                await asyncio.sleep(wait_s)
                wait_s = 0.0
                continue
            portion = self._waiting[: -AT_ONCE - 1 : -1]
            del self._waiting[-len(portion) :]
            async with self._share.claim(placement.file.sha256 for placement in portion) as claim:
                claimed = [placement for placement in portion if placement.file.sha256 in claim.sha256s]
                # A single file costs one request in any case; it may be the one that another sync's bundle left out.
                wait_s = await self._get(claimed, claim) if len(claimed) > 1 else 0.0

    async def _get(self, claimed: Sequence[Placement], claim: Claim) -> float:
        """Get one bundle; gives for how many seconds to wait before the next one."""
        sha256s = {placement.file.uri: placement.file.sha256 for placement in claimed}
        come: list[tuple[str, bytes]] = []
        size, wait_s = 0, 0.0
        began = written = asyncio.get_running_loop().time()
        try:
            async with self._open_bundle(list(sha256s)) as bundle:
                async for uri, content in bundle.files():
                    come.append((sha256s[uri], content))
                    size += len(content)
                    self._on_progress(0, len(content))
                    now = asyncio.get_running_loop().time()
                    if size >= _WRITTEN_BYTES or now - written >= _WRITTEN_S:
                        come, size, written, together = [], 0, now, come
                        await self._keep(together, claim)
            # The server left these for another bundle.
            self._waiting += reversed(claimed[bundle.looked_at :])
            self._failures = 0
        except asyncio.CancelledError:
            await self._keep(come, claim)
            raise
        except DiskError:
            raise
        except ServerUnavailable as error:
            # It may be bundles alone that are to wait.
            self._is_over = self._is_over or error.wait_s > PATIENCE_S
            wait_s = self._note_failure(began, error)
        except PackratError:
            self._is_over = True
        await self._keep(come, claim)
        return wait_s

    def _note_failure(self, began: float, error: ServerUnavailable) -> float:
        # Several that are open when the server goes away say the same.
        if began >= self._failed_at:
            self._failures += 1
            self._failed_at = asyncio.get_running_loop().time()
        return BackOff(*_WAIT_S).delay_s(self._failures, error.wait_s)

    async def _keep(self, come: Sequence[tuple[str, bytes]], claim: Claim) -> None:
        if not come:
            return
        # Several threads that make files in one directory mostly wait for each other, in the system, and keep it busy.
        async with self._writing:
            staged = await in_thread(_write, self._share.staging, come)
        claim.have(staged)
        self.staged.update(staged)
        self._on_progress(len(staged), 0)


def _write(staging: Path, come: Sequence[tuple[str, bytes]]) -> dict[str, Path]:
    """Stage those files that have the SHA-256 that they ought to have.

    Raises:
        DiskError: Staging can't be written.
    """
    staged: dict[str, Path] = {}
    with as_disk_error("write", staging):
        keep_room(staging)
    for sha256, content in come:
        if hashlib.sha256(content).hexdigest() == sha256 and _stage(staging, sha256, content):
            staged[sha256] = staging / sha256
    return staged


def _stage(staging: Path, sha256: str, content: bytes) -> bool:
    """Stage one file; where somebody has put something into its place, that is left to a single download.

    It gets its name at once. What a crash or a loss of power left in staging is hashed before it is used: neither of
    them leaves only whole files there, since small ones are not flushed before they are published.
    """
    path = f"{staging}/{sha256}"
    with as_disk_error("write", path):
        try:
            descriptor = os.open(path, _NEW, 0o644)
        except FileExistsError:
            return False
        try:
            # Before its bytes: once they are whole, nothing else of the file is checked.
            os.fchmod(descriptor, 0o644)
            write_all(descriptor, content)
            done("download-part")
        except BaseException:
            # This process would take an incomplete file for the one that its name says.
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
    done("download-done")
    done("download-renamed")
    return True
