"""Puts the package files that a plan needs into staging, and verifies their SHA-256."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packrat_agent.model.entries import Placement, Plan
from packrat_agent.sync.fetch.bundles import PATIENCE_S, BundledFetch, OpenBundle, for_bundles
from packrat_agent.sync.fetch.local_copies import LocalCopies
from packrat_agent.sync.fetch.partial_file import FLUSH_BYTES, PartialFile, closing
from packrat_agent.sync.fetch.shared_downloads import Share
from packrat_core.backoff import BackOff
from packrat_core.errors import DiskError, PackratError, ServerBroken, ServerUnavailable, TooLarge, WrongRange
from packrat_core.failpoints import done
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.free_space import keep_room
from packrat_core.fs.open import open_to_resume

_PROGRESS_BYTES = 16 * 1024
"""An attempt that receives less than this counts as one that received nothing."""
_TOGETHER = 64
"""Number of files that one thread looks for: starting a thread takes longer than hashing a small file."""
_SHARES = 8
"""Each task takes one part in so many of what is left, so that all end at about the same time."""


class OpenedFile(Protocol):
    """The server's answer to a download request.

    `start` is the offset of its first byte. `validator` identifies the server's version of the file; None if the server
    gives none.
    """

    @property
    def start(self) -> int:
        """0, or the requested offset if the server honoured it."""

    @property
    def validator(self) -> str | None:
        """Equal only if the bytes are equal."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes as they arrive."""


OpenFile = Callable[[str, int, str | None], AbstractAsyncContextManager[OpenedFile]]
"""(URL path on the server, offset, validator of the bytes before it) → the opened file."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and after which delays, a download that broke off is retried.

    Attributes:
        tries: Number of attempts in a row without progress after which a file fails.
        total_tries: Number of attempts after which a file fails in any case.
        wait_s: (first, longest) delay in seconds before the next attempt.
        given_up: Number of failed files in a row after which the server counts as unavailable, and each remaining file
            gets a single attempt.
        busy: Number of failed files in a row after which the rest are not asked for while the server asks to wait. It
            may have some files wait alone, so a few of those must not keep the others from being asked for.
        patience_s: Seconds that a server may have files wait while nothing arrives of any. A file that would have to
            wait for longer fails, so that the others are published; it is asked for again later.
    """

    tries: int = 5
    total_tries: int = 50
    wait_s: tuple[float, float] = (0.5, 10.0)
    given_up: int = 3
    busy: int = 30
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a fetch: SHA-256 → verified file in staging, and SHA-256 → error of each file that failed."""

    staged: dict[str, Path]
    failed: dict[str, PackratError]


def to_stage(plan: Plan) -> set[str]:
    """Give the SHA-256 of everything that a plan may need in staging: of its files, and of their parts."""
    parts = (plan.parts[placement.file.uri] for placement in plan.link)
    files = {placement.file.sha256 for placement in (*plan.fetch, *plan.link)}
    return files.union(*(found.values() for found in parts))


async def fetch(
    plan: Plan,
    share: Share,
    root: Path,
    open_file: OpenFile,
    on_progress: Callable[[int, int], None],
    retries: Retries | None = None,
    open_bundle: OpenBundle | None = None,
) -> Fetched:
    """Stage every wanted SHA-256 once, from staging itself, a copy in the tree, or the server, in this order.

    If the parts of a placement are known, those that are not in place are staged instead of the package file; the file
    itself is needed only if one of the parts is gone.

    A download that breaks off is retried, and continues where it stopped if the server still has the same file.

    Args:
        plan: What to stage, and where copies of it are in the tree.
        share: The sync's part in the downloads of the mirror, with its staging directory; it wants `to_stage(plan)`.
        root: Top of the tree.
        open_file: Opens a file of the server.
        on_progress: Called with (files done, bytes downloaded) since the last call.
        retries: How to retry; None for the defaults.
        open_bundle: Asks for many small files at once; None where each is asked for by itself.

    Returns:
        The staged files, and the errors of the others.

    Raises:
        DiskError: Staging can't be written. Any other error fails only its own file.
    """
    placements = (*plan.fetch, *plan.link)
    waiting = list({placement.file.sha256: placement for placement in reversed(placements)}.values())
    fetched = Fetched({}, {})
    source = _Source(open_file, share, on_progress, retries or Retries())
    try:
        if open_bundle is not None:
            bundled = BundledFetch(for_bundles(waiting, plan, share.staging), share, open_bundle, on_progress)
            await bundled.run()
            fetched.staged.update(bundled.staged)
            waiting = [placement for placement in waiting if placement.file.sha256 not in bundled.staged]
        async with asyncio.TaskGroup() as group:
            for _ in range(min(share.parallel, len(waiting))):
                group.create_task(_stage_waiting(waiting, plan, root, source, fetched))
    except* DiskError as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return fetched


async def _stage_waiting(waiting: list[Placement], plan: Plan, root: Path, source: "_Source", fetched: Fetched) -> None:
    """Stage what waits, one file after the other, beside other tasks that do the same."""
    while waiting:
        count = 1 + min(_TOGETHER, len(waiting) // (_SHARES * source.share.parallel))
        some = [waiting.pop() for _ in range(min(count, len(waiting)))]
        at_hand, looked_at = await _find_at_hand(some, plan, root, source.share)
        waiting += reversed(some[looked_at:])
        await _stage(some[:looked_at], at_hand, source, fetched)


async def _find_at_hand(
    some: Sequence[Placement], plan: Plan, root: Path, share: Share
) -> tuple[Mapping[str, Mapping[str, Path]], int]:
    """Look for files in staging and in the tree; gives what `LocalCopies.stage` gives."""
    staging, sources = share.staging, plan.sources

    def may_be_there(placement: Placement) -> bool:
        sha256 = placement.file.sha256
        if placement.file.uri in plan.missing:
            return True
        return share.find(sha256) is None and (sha256 in sources or os.path.lexists(staging / sha256))

    # Most files have no local copy yet.
    near = [placement for placement in some if may_be_there(placement)]
    if not near:
        return {}, len(some)

    def find() -> tuple[Mapping[str, Mapping[str, Path]], int]:
        with LocalCopies(plan, staging, root, share.largest) as copies:
            return copies.stage(near)

    found, looked_at = await asyncio.to_thread(find)
    return found, len(some) if looked_at == len(near) else some.index(near[looked_at])


async def _stage(
    some: Sequence[Placement], at_hand: Mapping[str, Mapping[str, Path]], source: "_Source", fetched: Fetched
) -> None:
    """Take what is at hand, and download the rest, one file after the other.

    Args:
        some: The files.
        at_hand: URI → SHA-256 → staged file.
        source: Where the others come from.
        fetched: Takes what was staged, and what failed.

    Raises:
        DiskError: Staging can't be written.
    """
    for placement in some:
        try:
            fetched.staged.update(at_hand.get(placement.file.uri) or await _get(placement, source))
            source.on_progress(1, 0)
        except DiskError:
            # Without a writable staging directory no other file can succeed.
            raise
        except PackratError as error:
            # The frames that very many failures passed through would fill the memory.
            error.__traceback__ = error.__context__ = None
            fetched.failed[placement.file.sha256] = error


async def _get(placement: Placement, source: "_Source") -> dict[str, Path]:
    sha256, share = placement.file.sha256, source.share
    found = share.find(sha256)
    return {sha256: found or await share.get(sha256, lambda: source.download(placement, share.staging))}


@dataclass(slots=True)
class _Source:
    """The server, with the state that all downloads of a fetch share."""

    open_file: OpenFile
    share: Share
    on_progress: Callable[[int, int], None]
    retries: Retries
    _given_up: int = 0
    _busy_since: float | None = None
    """When the server first asked to wait after the last bytes that arrived."""
    _busy_until: float = 0.0

    async def download(self, placement: Placement, staging: Path) -> Path:
        """Download into `<sha256>.part`, resuming an earlier attempt, and rename it once the hash is right.

        Raises:
            ServerUnavailable: All attempts failed.
            ServerRefused: The server does not provide the file.
            ServerBroken: The file has another SHA-256 than its record says, or is too large.
            DiskError: Staging can't be written.
        """
        file = placement.file
        path = staging / f"{file.sha256}.part"
        with as_disk_error("write", path):
            keep_room(staging)
            output = open_to_resume(path)
        with closing(output, path):
            part = PartialFile(output, path)
            with as_disk_error("read", path):
                if os.fstat(output.fileno()).st_size:
                    await asyncio.to_thread(part.take_what_is_there)
            try:
                resumed = await self._receive(part, file.url)
            except TooLarge:
                path.unlink()
                raise
            if resumed and part.sha256 != file.sha256:
                # The bytes of an earlier attempt may be from another file: download all of it again.
                part.restart()
                await self._receive(part, file.url)
            with as_disk_error("write", path):
                output.flush()
                os.fchmod(output.fileno(), 0o644)
            if part.size >= FLUSH_BYTES:
                # It is not lost to a power cut that comes before it is published; a small one is quickly got again.
                await asyncio.to_thread(part.flush)
        if part.sha256 != file.sha256:
            path.unlink()
            raise ServerBroken(
                f"{file.url} ({file.uri}) has the size {part.size} and the SHA-256 {part.sha256}, "
                f"its record says {file.sha256}",
                hint="it was thrown away: have the file uploaded again on the server",
            )
        done("download-done")
        target = staging / file.sha256
        with as_disk_error("rename", path):
            path.replace(target)
        done("download-renamed")
        return target

    async def _receive(self, part: PartialFile, url: str) -> bool:
        """Receive a whole file, in several attempts if needed; return whether bytes of an earlier attempt are in it.

        Raises:
            ServerUnavailable: The last permitted attempt failed.
        """
        resumed = False
        best = part.size
        idle = 0
        for number in range(1, self.retries.total_tries + 1):
            if self._given_up >= self.retries.busy and time.monotonic() < self._busy_until:
                raise ServerUnavailable(f"{url} was not asked for: the server asks to wait")
            try:
                resumed = await self._resume_once(part, url)
                self._given_up = 0
                return resumed
            except ServerUnavailable as error:
                asked_s = error.wait_s
                arrives_no_more = asked_s > 0 and self._is_busy_for_long(asked_s)
                # A trickle counts as no progress; otherwise it could hold up one file for hours.
                idle = 0 if part.size >= best + _PROGRESS_BYTES else idle + 1
                best = max(best, part.size)
                away = self._given_up >= self.retries.given_up
                if away or arrives_no_more or idle >= self.retries.tries or number == self.retries.total_tries:
                    self._given_up += 1
                    raise
            await asyncio.sleep(BackOff(*self.retries.wait_s).delay_s(idle, asked_s))
        raise AssertionError("the last try returns or raises")

    def _is_busy_for_long(self, asked_s: float) -> bool:
        """Note for how long the server asks to wait, and tell whether nothing would arrive for too long then."""
        now = time.monotonic()
        self._busy_until = max(self._busy_until, now + asked_s)
        if self._busy_since is None:
            self._busy_since = now
        return now - self._busy_since + asked_s > self.retries.patience_s

    async def _resume_once(self, part: PartialFile, url: str) -> bool:
        """Receive what is missing; where the server can't send just that, the next attempt asks for the whole file.

        Raises:
            ServerUnavailable: Another attempt may succeed.
        """
        try:
            return await self._receive_once(part, url)
        except WrongRange as error:
            if not part.size:
                raise
            # Kept, it would have the server send the same wrong answer for ever.
            part.restart()
            raise ServerUnavailable(str(error), hint="it will be downloaded from its start") from None

    async def _receive_once(self, part: PartialFile, url: str) -> bool:
        async with self.open_file(url, part.size, part.validator) as opened:
            if opened.start == part.size and part.is_of(opened.validator):
                resumed = part.size > 0
            # The server sends the file from its start: it ignored the offset, or has another file now.
            elif opened.start == 0:
                part.restart()
                resumed = False
            # The rest of another file is useless; the next attempt asks for all of it.
            else:
                part.restart()
                raise ServerUnavailable(
                    f"{url} changed on the server while it was downloaded", hint="it will be downloaded from its start"
                )
            part.validator = opened.validator
            async for chunk in opened.chunks():
                part.write(chunk)
                self._busy_since = None
                if part.is_flush_due:
                    await asyncio.to_thread(part.flush)
                self.on_progress(0, len(chunk))
                done("download-part")
        return resumed
