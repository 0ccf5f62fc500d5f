"""Stores package files under their SHA-256, in `files/` below the data directory.

They arrive in `incoming/`, or in `files/incoming/` where `files` is on a disk of its own: what has arrived is renamed.
"""

import errno
import hashlib
import math
import os
import re
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread

from packrat_core.errors import ConfigError, DiskError
from packrat_core.fs.disk_errors import FULL, as_disk_error
from packrat_core.fs.ownership import explain_denied, explain_unwritable

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIRECTORY = re.compile(r"[0-9a-f]{2}")
"""The directories of stored files; beside them a disk has `lost+found`, which only root can look into."""
_READS_FROM_MEMORY = hasattr(os, "RWF_NOWAIT")


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored file."""

    sha256: str
    size: int
    path: Path


def blob_path(data_dir: Path, sha256: str) -> Path:
    """Give the path of the file with this SHA-256."""
    return Path(blob_in(str(data_dir), sha256))


def blob_in(data_dir: str, sha256: str) -> str:
    """Give the same as text: to make a path of it takes longer than to ask the system for the size of a file."""
    return f"{data_dir}/files/{sha256[:2]}/{sha256}"


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
        DiskError: The disk is full, or refuses the file.
    """
    with as_disk_error("write", data_dir):
        return await _receive(data_dir, chunks, limit)


async def _receive(data_dir: Path, chunks: AsyncIterator[bytes], limit: int) -> Blob:
    digest = hashlib.sha256()
    size = 0
    # All of it in threads: where the disk hangs, the event loop must not.
    file = await anyio.to_thread.run_sync(_begin, data_dir)
    part = Path(file.name)
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise ValueError(f"more than {limit} bytes")
            digest.update(chunk)
            await anyio.to_thread.run_sync(file.write, chunk)
        sha256 = digest.hexdigest()
        path = blob_path(data_dir, sha256)
        await anyio.to_thread.run_sync(_keep, file, part, path)
    finally:
        await anyio.to_thread.run_sync(_end, file, part)
    return Blob(sha256, size, path)


def _begin(data_dir: Path) -> BinaryIO:
    part = _arrivals(data_dir) / secrets.token_hex(16)
    part.parent.mkdir(exist_ok=True)
    return part.open("xb")


def _arrivals(data_dir: Path) -> Path:
    """The directory in which files arrive: one from which they can be renamed to where they stay."""
    files = data_dir / "files"
    beside_files = files / "incoming"
    if beside_files.is_dir():
        return beside_files
    if _are_apart(data_dir / "incoming", files):
        beside_files.mkdir(exist_ok=True)
        return beside_files
    return data_dir / "incoming"


def _are_apart(first: Path, second: Path) -> bool:
    """Tell whether nothing can be renamed from one directory into another; two mounts of one disk are apart, too."""
    name = secrets.token_hex(16)
    try:
        # Before it looks for the file, which is not there, the system looks at where it would go.
        (first / name).rename(second / name)
    except OSError as error:
        return error.errno == errno.EXDEV
    return False


def _end(file: BinaryIO, part: Path) -> None:
    part.unlink(missing_ok=True)
    # What is left in its buffer has nowhere to go on a full disk, and nobody wants it.
    with suppress(OSError):
        file.close()


def _keep(file: BinaryIO, part: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def holds_files(data_dir: Path) -> bool:
    """Tell whether package files are stored in a data directory, without the help of its database.

    Raises:
        OSError: It can't be looked into; that says nothing of what is there.
    """
    # Unlike this, Path.glob finds nothing in a directory that is closed to this user.
    try:
        with os.scandir(data_dir / "files") as directories:
            for directory in directories:
                if _DIRECTORY.fullmatch(directory.name) and directory.is_dir(follow_symlinks=False):
                    with os.scandir(directory) as files:
                        if any(files):
                            return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False


def check_directories(data_dir: Path, has_records: bool) -> None:
    """Check the directories of a data directory before it is served, and make those that may be missing.

    Args:
        data_dir: The server's data directory.
        has_records: Whether records name files.

    Raises:
        ConfigError: One is missing, is not a directory, or may not be written.
        DiskError: The disk is full.
    """
    files, incoming = data_dir / "files", data_dir / "incoming"
    with explained(data_dir):
        if has_records and not files.exists():
            state = "is a link that leads nowhere" if files.is_symlink() else "is missing"
            raise ConfigError(f"{files} {state}, but records name files", hint="restore it from a backup")
        for directory in (files, incoming):
            if directory.exists() and not directory.is_dir():
                raise ConfigError(
                    f"{directory} is not a directory", hint="move it away; if it was one, restore it from a backup"
                )
            directory.mkdir(exist_ok=True)
            why = explain_unwritable(directory)
            if why is not None:
                raise ConfigError(f"{directory} can't be written: {why}")


@dataclass(frozen=True, slots=True)
class Content:
    """The status of a stored file, and its data; None if it is too large to be read whole."""

    status: os.stat_result
    data: bytes | None


def read_content(path: Path, read_up_to: int) -> Content | None:
    """Look at a stored file, and read it where it has at most `read_up_to` bytes; None where there is none.

    Raises:
        DiskError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            return Content(status, file.read() if status.st_size <= read_up_to else None)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except OSError as error:
        with as_disk_error("read", path):
            raise error


def read_from_memory(path: Path, read_up_to: int) -> Content | None:
    """Read a stored file as `read_content` does; None also if that would mean waiting for the disk."""
    if not _READS_FROM_MEMORY:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_size > read_up_to:
            return Content(status, None) if stat.S_ISREG(status.st_mode) else None
        data = bytearray(status.st_size)
        # Not every filesystem can tell what is in memory, and a part of the file may be on the disk alone.
        if os.preadv(descriptor, [data], 0, os.RWF_NOWAIT) != status.st_size:
            return None
        return Content(status, bytes(data))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def find_size(path: str) -> int | None:
    """Give the size of a stored file; None where there is none that can be read whole."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def read_whole(path: str, size: int, *, waits: bool = True) -> bytes | None:
    """Read a stored file of a known size; None where it has another one by now, or can't be read.

    Args:
        path: The path of the file.
        size: Its size.
        waits: Wait for the disk if need be; else that, too, gives None.
    """
    if not (waits or _READS_FROM_MEMORY):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        # One byte more shows that it has grown.
        content = os.read(descriptor, size + 1) if waits else _read_now(descriptor, size + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return content if len(content) == size else None


def _read_now(descriptor: int, size: int) -> bytes:
    """Read the beginning of an open file as far as it is in memory.

    Raises: OSError
    """
    data = bytearray(size)
    return bytes(data[: os.preadv(descriptor, [data], 0, os.RWF_NOWAIT)])


@contextmanager
def explained(data_dir: Path) -> Iterator[None]:
    """Turn what the system says of the data directory into a sentence for the operator.

    Raises:
        ConfigError: The operator must mend the directory.
        DiskError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        path = Path(error.filename) if isinstance(error.filename, str) else data_dir
        if error.errno in FULL:
            hint = "free space on its filesystem, or raise the quota there"
            raise DiskError(f"{path} can't be written: {error.strerror}", hint=hint) from None
        why = explain_denied(path)
        hint = "" if why else "make it readable, or move it away and restore it from a backup"
        raise ConfigError(f"{path} can't be used: {why or error.strerror}", hint=hint) from None


def list_stored(data_dir: Path) -> Iterator[str]:
    """List what is stored, by its SHA-256, without a look at each; what the server has not made itself is left out."""
    for directory in (data_dir / "files").iterdir():
        if not _DIRECTORY.fullmatch(directory.name) or directory.is_symlink() or not directory.is_dir():
            continue
        for path in directory.iterdir():
            if _SHA256.fullmatch(path.name):
                yield path.name


def remove_parts(data_dir: Path) -> None:
    """Remove unfinished uploads; no server may accept uploads while this runs."""
    remove_old_parts(data_dir, math.inf)


def remove_old_parts(data_dir: Path, until: float) -> None:
    """Remove unfinished uploads that received nothing since a time, in seconds since the epoch."""
    for part in [*(data_dir / "incoming").iterdir(), *(data_dir / "files").glob("incoming/*")]:
        with suppress(FileNotFoundError):
            if part.is_file() and not part.is_symlink() and part.stat().st_mtime < until:
                part.unlink()


def remove_blob(data_dir: Path, sha256: str, until: float) -> bool:
    """Remove a stored file, unless it arrived again since a time; tells whether it is gone.

    Args:
        data_dir: The server's data directory.
        sha256: The SHA-256 of the file.
        until: The time, in seconds since the epoch.
    """
    path = blob_path(data_dir, sha256)
    aside = _arrivals(data_dir) / f"removed-{secrets.token_hex(8)}"
    try:
        # Aside first: an upload of the same bytes may put its file there at any moment.
        path.rename(aside)
    except FileNotFoundError:
        return True
    if aside.stat().st_mtime >= until:
        aside.rename(path)
        return False
    aside.unlink()
    with suppress(OSError):
        path.parent.rmdir()
    return True
