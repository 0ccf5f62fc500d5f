"""Brings the package files that a plan needs into staging, and verifies their SHA-256."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from packrat_agent.model.entries import KnownPlacement, Placement, Plan, StagedFile
from packrat_core.backoff import BackOff
from packrat_core.errors import DiskError, PackratError, ServerBroken, ServerUnavailable, TooLarge
from packrat_core.failpoints import done
from packrat_core.fs.disk_errors import told_as_disk_error
from packrat_core.fs.open import open_regular, open_to_resume

_READ_BYTES = 1 << 20
_PROGRESS_BYTES = 16 * 1024
"""A try that brings less counts as one that brought nothing."""


class OpenedFile(Protocol):
    """The server's answer to a download: `start` is the offset that its first byte stands at.

    `validator` is the server's name for this state of the file, None where it gives none.
    """

    @property
    def start(self) -> int:
        """0, or the offset asked for where the server honoured it."""

    @property
    def validator(self) -> str | None:
        """Equal only where the bytes are equal."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes as they arrive."""


OpenFile = Callable[[str, int, str | None], AbstractAsyncContextManager[OpenedFile]]
"""(URL path on the server, offset, validator of the bytes before it) → the opened file."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How a download that broke off is tried again.

    tries: so many in a row without a new byte, and total_tries in all, end it. wait_s: (first, longest) seconds before
    the next. After given_up files in a row that ended so, the server is taken to be away: the rest get one try each.
    """

    tries: int = 5
    total_tries: int = 50
    wait_s: tuple[float, float] = (0.5, 10.0)
    given_up: int = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought: SHA-256 → staged file, and SHA-256 → why it could not be had."""

    staged: dict[str, StagedFile]
    failed: dict[str, PackratError]


async def fetch(
    plan: Plan,
    staging: Path,
    root: Path,
    open_file: OpenFile,
    parallel: int,
    on_progress: Callable[[int, int], None],
    retries: Retries | None = None,
) -> Fetched:
    """Stage every wanted SHA-256 once: what is in staging already, then a copy in the tree, then the server's.

    For a placement whose parts are known, these are staged unless they are in place; the package file itself only if
    one of them turns out to be gone.

    A download that breaks off is tried again, and goes on where it stopped if the server still has the same file.

    parallel: number of downloads at the same time.
    on_progress: called with (files done, bytes downloaded) since the last call.
    Raises: DiskError if staging can't be written; nothing else stops the other files.
    """
    placements = (*plan.fetch, *plan.link)
    waiting = list({placement.file.sha256: placement for placement in reversed(placements)}.values())
    staged: dict[str, StagedFile] = {}
    failed: dict[str, PackratError] = {}
    source = _Source(open_file, on_progress, retries or Retries())

    async def work() -> None:
        while waiting:
            placement = waiting.pop()
            try:
                staged.update(await _stage(placement, plan, staging, root, source))
                on_progress(1, 0)
            except DiskError:
                raise
            except PackratError as error:
                failed[placement.file.sha256] = error

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parallel, len(waiting))):
                group.create_task(work())
    except* DiskError as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return Fetched(staged, failed)


async def _stage(
    placement: Placement, plan: Plan, staging: Path, root: Path, source: "_Source"
) -> dict[str, StagedFile]:
    if isinstance(placement, KnownPlacement):
        parts = await asyncio.to_thread(_find_parts, placement, plan, staging, root)
        if parts is not None:
            return parts
    sha256 = placement.file.sha256
    found = None
    # Most files are nowhere yet; a thread each would cost more than the download of a small one.
    if sha256 in plan.sources or os.path.lexists(staging / sha256):
        found = await asyncio.to_thread(_find_local, sha256, plan.sources.get(sha256), staging, root)
    return {sha256: found or await source.download(placement, staging)}


def _find_parts(placement: KnownPlacement, plan: Plan, staging: Path, root: Path) -> dict[str, StagedFile] | None:
    """Stage the parts that are not in place; None if one of them is gone."""
    found: dict[str, StagedFile] = {}
    for part in plan.missing(placement):
        if part.sha256 not in found:
            staged = _find_local(part.sha256, plan.sources.get(part.sha256), staging, root)
            if staged is None:
                return None
            found[part.sha256] = staged
    return found


def _find_local(sha256: str, source_path: str | None, staging: Path, root: Path) -> StagedFile | None:
    target = staging / sha256
    with told_as_disk_error("read", target):
        if os.path.lexists(target):
            size = _verify(target, sha256)
            if size is not None:
                return StagedFile(sha256, target, size)
            target.unlink()
    if source_path is None:
        return None
    source = root / source_path
    with suppress(OSError):
        size = _verify(source, sha256)
        if size is not None:
            _link_or_copy(source, target)
            return StagedFile(sha256, target, size)
    return None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def _verify(path: Path, sha256: str) -> int | None:
    with open_regular(path) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return None
        return os.fstat(file.fileno()).st_size


@dataclass(slots=True)
class _Source:
    """The server, as all downloads of a fetch know it."""

    open_file: OpenFile
    on_progress: Callable[[int, int], None]
    retries: Retries
    _given_up: int = 0

    async def download(self, placement: Placement, staging: Path) -> StagedFile:
        """Download into `<sha256>.part`, going on where an earlier try stopped, and rename when the hash is right."""
        file = placement.file
        path = staging / f"{file.sha256}.part"
        with told_as_disk_error("write", path):
            output = open_to_resume(path)
        with output:
            part = _Part(output, path)
            with told_as_disk_error("read", path):
                if os.fstat(output.fileno()).st_size:
                    await asyncio.to_thread(part.hash_what_is_there)
            try:
                resumed = await self._receive(part, file.url)
            except TooLarge:
                path.unlink()
                raise
            if resumed and part.sha256 != file.sha256:
                # The bytes of an earlier try may be of another file: download all of it again.
                part.restart()
                await self._receive(part, file.url)
            with told_as_disk_error("write", path):
                output.flush()
                os.fchmod(output.fileno(), 0o644)
        if part.sha256 != file.sha256:
            path.unlink()
            raise ServerBroken(
                f"{file.url} ({file.uri}) has {part.size} bytes with SHA-256 {part.sha256}, "
                f"its record says {file.sha256}; it was thrown away: have the file uploaded again on the server"
            )
        done("download-done")
        target = staging / file.sha256
        with told_as_disk_error("rename", path):
            path.replace(target)
        done("download-renamed")
        return StagedFile(file.sha256, target, part.size)

    async def _receive(self, part: "_Part", url: str) -> bool:
        """Receive a whole file, in as many tries as it takes; returns whether bytes of an earlier try are in it.

        Raises: ServerUnavailable once there were enough tries.
        """
        resumed = False
        best = part.size
        idle = 0
        for number in range(1, self.retries.total_tries + 1):
            try:
                resumed = await self._receive_once(part, url)
                self._given_up = 0
                return resumed
            except ServerUnavailable as error:
                asked_s = error.wait_s
                # A try that brings only a trickle counts as idle: it would hold up one file for hours.
                idle = 0 if part.size >= best + _PROGRESS_BYTES else idle + 1
                best = max(best, part.size)
                away = self._given_up >= self.retries.given_up
                if away or idle >= self.retries.tries or number == self.retries.total_tries:
                    self._given_up += 1
                    raise
            await asyncio.sleep(BackOff(*self.retries.wait_s).delay_s(idle, asked_s))
        raise AssertionError("the last try returns or raises")

    async def _receive_once(self, part: "_Part", url: str) -> bool:
        async with self.open_file(url, part.size, part.validator) as opened:
            if opened.start == part.size and part.is_of(opened.validator):
                resumed = part.size > 0
            elif opened.start == 0:
                part.restart()
                resumed = False
            else:
                part.restart()
                raise ServerUnavailable(
                    f"{url} changed on the server while it was downloaded; it is taken from its start"
                )
            part.validator = opened.validator
            async for chunk in opened.chunks():
                part.write(chunk)
                self.on_progress(0, len(chunk))
                done("download-part")
        return resumed


class _Part:
    """A file that grows, with the hash of what is in it."""

    def __init__(self, output: BinaryIO, path: Path) -> None:
        self._output = output
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0
        self.validator: str | None = None
        """Of the server's file that its bytes are from, as far as that is known."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._digest.hexdigest()

    def hash_what_is_there(self) -> None:
        """Hash what an earlier process left."""
        while chunk := self._output.read(_READ_BYTES):
            self._digest.update(chunk)
            self.size += len(chunk)

    def is_of(self, validator: str | None) -> bool:
        """Tell whether its bytes may be of the file that the server has now."""
        return self.size == 0 or self.validator is None or validator is None or self.validator == validator

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._digest.update(chunk)
        with told_as_disk_error("write", self._path):
            self._output.write(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Start again with an empty file."""
        self._digest = hashlib.sha256()
        self.size = 0
        self.validator = None
        with told_as_disk_error("write", self._path):
            self._output.seek(0)
            self._output.truncate()


def clear_staging(staging: Path, keep: Iterable[str]) -> None:
    """Remove what staging holds except the files and parts of the named SHA-256s."""
    kept = set(keep)
    with told_as_disk_error("clean", staging):
        for entry in os.scandir(staging):
            if entry.name.removesuffix(".part") not in kept:
                with suppress(IsADirectoryError, PermissionError):
                    Path(entry.path).unlink()
