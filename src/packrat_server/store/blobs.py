"""Stores package files under their SHA-256, in `files/` below the data directory; they arrive in `incoming/`."""

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored file."""

    sha256: str
    size: int
    path: Path


def blob_path(data_dir: Path, sha256: str) -> Path:
    """Give the path of the file with this SHA-256."""
    return data_dir / "files" / sha256[:2] / sha256


async def receive(data_dir: Path, chunks: AsyncIterator[bytes], limit: int) -> Blob:
    """Store a stream of bytes; one that breaks off leaves nothing.

    Args:
        data_dir: The server's data directory.
        chunks: The stream.
        limit: Number of bytes that it may have.

    Returns:
        What was stored, flushed to the disk.

    Raises:
        ValueError: The stream has more than `limit` bytes.
    """
    incoming = data_dir / "incoming"
    incoming.mkdir(exist_ok=True)
    part = incoming / secrets.token_hex(16)
    digest = hashlib.sha256()
    size = 0
    try:
        with part.open("xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise ValueError(f"more than {limit} bytes")
                digest.update(chunk)
                await anyio.to_thread.run_sync(file.write, chunk)
            await anyio.to_thread.run_sync(_flush, file.fileno(), file.flush)
        sha256 = digest.hexdigest()
        path = blob_path(data_dir, sha256)
        await anyio.to_thread.run_sync(_keep, part, path)
    finally:
        part.unlink(missing_ok=True)
    return Blob(sha256, size, path)


def _flush(descriptor: int, flush: object) -> None:
    assert callable(flush)
    flush()
    os.fsync(descriptor)


def _keep(part: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_orphans(data_dir: Path, named: Collection[str]) -> int:
    """Remove unfinished uploads and the files that no record names; gives the number of removed files.

    No server may take uploads in meanwhile: a file that has just arrived has no record yet.
    """
    removed = 0
    for part in (data_dir / "incoming").glob("*"):
        part.unlink(missing_ok=True)
    for directory in (data_dir / "files").glob("*"):
        for path in directory.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)
                removed += 1
        with suppress(OSError):
            directory.rmdir()
    return removed
