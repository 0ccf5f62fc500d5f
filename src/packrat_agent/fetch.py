"""Brings wanted package files into staging and proves their SHA-256.

Takes: the placements of a Plan, and a way to open a file of the server from an offset on.
Gives: a StagedFile for each SHA-256 that could be had, a reason for each that could not.
Touches: network, staging.
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from packrat_agent.disk import told_as_disk_error
from packrat_agent.errors import DiskError, PackratError, ServerBroken
from packrat_agent.model import Placement, StagedFile
from packrat_agent.steps import done

_READ_BYTES = 1 << 20


class OpenedFile(Protocol):
    """The server's answer to a download: `start` is the offset that its first byte stands at."""

    @property
    def start(self) -> int:
        """0, or the offset asked for where the server honoured it."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes as they arrive."""


OpenFile = Callable[[str, int], AbstractAsyncContextManager[OpenedFile]]
"""(URL path on the server, offset) → the opened file."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought: SHA-256 → staged file, and SHA-256 → why it could not be had."""

    staged: dict[str, StagedFile]
    failed: dict[str, PackratError]


async def fetch(
    placements: Sequence[Placement],
    staging: Path,
    root: Path,
    open_file: OpenFile,
    parallel: int,
    on_progress: Callable[[int, int], None],
) -> Fetched:
    """Stage every wanted SHA-256 once: what is in staging already, then a copy in the tree, then the server's.

    Of a placement with parts these are staged, save those that are in place already; the package file itself only
    where one of them is gone.

    on_progress: called with (files done, bytes downloaded) since the last call.
    Raises: DiskError where staging can't be written; nothing else stops the other files.
    """
    waiting = list({placement.file.sha256: placement for placement in reversed(placements)}.values())
    staged: dict[str, StagedFile] = {}
    failed: dict[str, PackratError] = {}

    async def work() -> None:
        while waiting:
            placement = waiting.pop()
            sha256 = placement.file.sha256
            try:
                parts = None
                if placement.parts:
                    parts = await asyncio.to_thread(_find_parts, placement, staging, root)
                if parts is not None:
                    staged.update(parts)
                else:
                    found = None
                    # Most files are nowhere yet; a thread each would cost more than the download of a small one.
                    if placement.source is not None or os.path.lexists(staging / sha256):
                        found = await asyncio.to_thread(_find_local, sha256, placement.source, staging, root)
                    staged[sha256] = found or await _download(placement, staging, open_file, on_progress)
                on_progress(1, 0)
            except DiskError:
                raise
            except PackratError as error:
                failed[sha256] = error

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parallel, len(waiting))):
                group.create_task(work())
    except* DiskError as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return Fetched(staged, failed)


def _find_parts(placement: Placement, staging: Path, root: Path) -> dict[str, StagedFile] | None:
    """Stage the parts that are not in place; None where one of them is gone."""
    found: dict[str, StagedFile] = {}
    for part in placement.parts:
        if part.source != part.path and part.sha256 not in found:
            staged = _find_local(part.sha256, part.source, staging, root)
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
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return None
        return os.fstat(file.fileno()).st_size


async def _download(
    placement: Placement, staging: Path, open_file: OpenFile, on_progress: Callable[[int, int], None]
) -> StagedFile:
    """Download into `<sha256>.part`, going on where an earlier try stopped, and rename when the hash is right."""
    file = placement.file
    part = staging / f"{file.sha256}.part"
    digest = hashlib.sha256()
    with told_as_disk_error("write", part):
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "r+b") as output:
        with told_as_disk_error("read", part):
            have = _hash_what_is_there(output, digest)
        async with open_file(file.url, have) as opened:
            if opened.start != have:
                digest = hashlib.sha256()
                output.seek(0)
                output.truncate()
            async for chunk in opened.chunks():
                digest.update(chunk)
                with told_as_disk_error("write", part):
                    output.write(chunk)
                on_progress(0, len(chunk))
                done("download-part")
        with told_as_disk_error("write", part):
            output.flush()
            size = output.tell()
            os.fchmod(output.fileno(), 0o644)
    if digest.hexdigest() != file.sha256:
        part.unlink()
        raise ServerBroken(
            f"{file.url} ({file.uri}) has {size} bytes with SHA-256 {digest.hexdigest()}, "
            f"its record says {file.sha256}; it was thrown away: have the file uploaded again on the server"
        )
    done("download-done")
    target = staging / file.sha256
    with told_as_disk_error("rename", part):
        part.replace(target)
    done("download-renamed")
    return StagedFile(file.sha256, target, size)


def _hash_what_is_there(file: BinaryIO, digest: "hashlib._Hash") -> int:
    size = 0
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return size


def clear_staging(staging: Path, keep: Iterable[str]) -> None:
    """Remove what staging holds except the files and parts of the named SHA-256s."""
    kept = set(keep)
    with told_as_disk_error("clean", staging):
        for entry in os.scandir(staging):
            if entry.name.removesuffix(".part") not in kept:
                with suppress(IsADirectoryError, PermissionError):
                    Path(entry.path).unlink()
