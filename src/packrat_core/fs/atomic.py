"""Writes files so that a reader, also one after a crash, sees the old file or the new one whole.

Write the new content beside the old, flush it, rename it, and flush the directory (see `flush`):

    write_new(staging / "Release.new", [content])
    replace(staging / "Release.new", root / "Release")
    flush_directories([root])

A single file that stands alone: `write_whole(path, content)`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.flush import flush_directories
from packrat_core.fs.links import remove_directory

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_WRITE_BYTES = 256 * 1024
"""Small parts of a file are gathered to writes of this size."""


def write_new(
    path: Path,
    parts: Iterable[bytes | bytearray],
    mode: int = 0o644,
    *,
    flush: bool = True,
    owner: tuple[int, int] | None = None,
) -> os.stat_result:
    """Write a file that no reader knows yet, part by part, and flush its content.

    Args:
        path: Where to write it; a file or link there is removed.
        parts: All of it, in order.
        mode: Its permissions, whatever the umask.
        flush: Whether its content is flushed now; if not, the caller does so before any reader knows the file.
        owner: User and group to give it to; nobody else can read it before. None: it stays this user's.

    Returns:
        What the system says of it, by which it can be told from any other file.

    Raises:
        DiskError: It can't be written.
    """
    first_mode = mode if owner is None else 0o600
    with as_disk_error("write", path):
        try:
            descriptor = os.open(path, _NEW, first_mode)
        except FileExistsError:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, _NEW, first_mode)
        # By single calls: there may be thousands of small files, and a file object takes as long as the kernel.
        try:
            if owner is not None:
                # By the descriptor: anyone who may write to the directory could put a link in the place of the path.
                os.fchown(descriptor, *owner)
            for portion in _gather(parts):
                write_all(descriptor, portion)
            os.fchmod(descriptor, mode)
            if flush:
                os.fsync(descriptor)
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)


def write_all(descriptor: int, content: bytes | bytearray) -> None:
    """Write all bytes to an open file, in as many calls as the operating system asks for.

    Raises:
        OSError: It can't be written.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _gather(parts: Iterable[bytes | bytearray]) -> Iterator[bytes | bytearray]:
    """Join small parts to portions; a large one stays as it is."""
    waiting: list[bytes | bytearray] = []
    size = 0
    for part in parts:
        if size + len(part) > _WRITE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
        if len(part) > _WRITE_BYTES:
            yield part
            continue
        waiting.append(part)
        size += len(part)
    yield b"".join(waiting)


def write_whole(path: Path, content: bytes, mode: int = 0o644, *, owner: tuple[int, int] | None = None) -> None:
    """Write a file in the place of what stands there, so that a power cut leaves the one or the other, whole.

    Args:
        path: Where to write it; its directory is made if it is missing.
        content: All of it.
        mode: Its permissions, whatever the umask.
        owner: User and group to give it to, as `write_new` does.

    Raises:
        DiskError: It can't be written.
    """
    with as_disk_error("make the directory", path.parent):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    try:
        write_new(fresh, [content], mode, owner=owner)
        replace(fresh, path)
    finally:
        # What failed leaves nothing, which may hold a secret.
        with suppress(OSError):
            fresh.unlink()
    flush_directories([path.parent])


def replace(source: Path, target: Path) -> None:
    """Rename `source` to `target` in one step; a file, link or directory at the target is replaced.

    Raises:
        DiskError: It can't be renamed.
    """
    with as_disk_error("publish", target):
        replace_in(source, target)


def replace_in(source: Path, target: Path | str, directory: int | None = None) -> None:
    """Rename `source` in one step into an open directory, whatever stands at its path by then.

    Args:
        source: What is renamed.
        target: Its new path, or a name in the directory.
        directory: Its descriptor; None for a path as usual.

    Raises:
        OSError: It can't be renamed.
    """
    try:
        os.rename(source, target, dst_dir_fd=directory)
    except IsADirectoryError:
        remove_directory(os.fspath(target), directory)
        os.rename(source, target, dst_dir_fd=directory)
    # Where both are names of one inode, rename(2) does nothing and leaves the source.
    if os.access(source, os.F_OK, follow_symlinks=False):
        source.unlink(missing_ok=True)
