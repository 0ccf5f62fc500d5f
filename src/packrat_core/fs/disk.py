"""The few things that are done to a disk, each safe against a crash and against planted links.

Takes: a root directory and paths relative to it.
Gives: directories made, files written and renamed, everything flushed, OSErrors told as DiskError.
Touches: only what lies below the given root; symbolic links are replaced, never followed.
"""

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from packrat_core.errors import DiskError
from packrat_core.fs.ownership import explain_denied

AGENT_DIR = ".packrat-agent"
"""The agent's own directory in root_dir: the mark, the lock and staging; mode 0700, so no web server shows it."""

_WHAT_TO_DO = {
    errno.ENOSPC: "make room on that filesystem; the last published state stays served",
    errno.EDQUOT: "raise the quota or make room; the last published state stays served",
    errno.EROFS: "remount it writable; the last published state stays served",
    errno.EACCES: "give this user access to it",
    errno.EPERM: "give this user access to it",
    errno.EXDEV: "it is another filesystem: root_dir must be one filesystem without mount points inside",
    errno.EIO: "check the disk and its logs",
}
_SYNCFS_FROM = 64
_WRITE_BYTES = 256 * 1024
"""Small parts of a file are gathered to writes of this size."""


@contextmanager
def told_as_disk_error(doing: str, path: Path | str) -> Iterator[None]:
    """Raise DiskError in place of an OSError, naming what was done to which path, and what helps."""
    try:
        yield
    except OSError as error:
        # What failed may lie below.
        where = error.filename if isinstance(error.filename, str) and error.filename.startswith(f"{path}/") else path
        hint = _WHAT_TO_DO.get(error.errno or 0, "see the message of the system")
        if error.errno in (errno.EACCES, errno.EPERM):
            hint = explain_denied(Path(where)) or hint
        raise DiskError(f"can't {doing} {where}: {error.strerror or error}; {hint}") from error


def ensure_directory(root: Path, relative: str) -> Path:
    """Make `relative` and its parents below `root`; whatever is no directory on the way (a link, a file) gives way."""
    at = root
    for part in Path(relative).parts:
        at = at / part
        with told_as_disk_error("make the directory", at):
            try:
                mode = at.lstat().st_mode
            except FileNotFoundError:
                at.mkdir(mode=0o755)
                continue
            if not stat.S_ISDIR(mode):
                at.unlink()
                at.mkdir(mode=0o755)
    return at


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read; whatever else stands there (a link, a directory, a pipe that never answers) is refused.

    Raises: OSError
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def change_mode(path: Path, choose: Callable[[int], int | None]) -> None:
    """Set the permissions of what stands at `path`; a link that is put there meanwhile leads nowhere.

    choose: the mode as it is, with its type → the permissions to set, None to leave them.
    Raises: OSError
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        wanted = choose(os.fstat(descriptor).st_mode)
        if wanted is not None:
            # Source: open(2), O_PATH: fchmod refuses such a descriptor, its name in /proc does not.
            Path(f"/proc/self/fd/{descriptor}").chmod(wanted)
    finally:
        os.close(descriptor)


def link_digest(target: str) -> str:
    """Give what stands in place of a SHA-256 for a symbolic link that points to `target`."""
    return hashlib.sha256(f"-> {target}".encode()).hexdigest()


def write_new(path: Path, *parts: bytes, mode: int = 0o644) -> None:
    """Write a file that nobody sees yet, part by part, and flush it."""
    with told_as_disk_error("write", path):
        with suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb", _WRITE_BYTES) as file:
            file.writelines(parts)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())


def replace(source: Path, target: Path) -> None:
    """Rename `source` over `target` in one step; a directory or link at the target gives way."""
    with told_as_disk_error("publish", target):
        try:
            source.replace(target)
        except IsADirectoryError:
            remove_tree(target)
            source.replace(target)
        # Two names of one inode: rename(2) then does nothing and leaves the source.
        with suppress(FileNotFoundError):
            source.unlink()


def remove_tree(path: Path) -> None:
    """Remove a directory with all below it, following no link."""
    with told_as_disk_error("remove", path):
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                Path(entry.path).unlink()
        path.rmdir()


def flush_directories(directories: Iterable[Path]) -> None:
    """Make renames durable: fsync each directory once, or the whole filesystem where they are many."""
    waiting = sorted(set(directories))
    if len(waiting) >= _SYNCFS_FROM and _flush_filesystem(waiting[0]):
        return
    for directory in waiting:
        with told_as_disk_error("flush", directory):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def flush_files(files: list[Path]) -> None:
    """Make the content of files durable: fsync each, or the whole filesystem once where they are many."""
    if not files:
        return
    if len(files) >= _SYNCFS_FROM and _flush_filesystem(files[0].parent):
        return
    for path in files:
        with told_as_disk_error("flush", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _flush_filesystem(directory: Path) -> bool:
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return bool(syncfs(descriptor) == 0)
    finally:
        os.close(descriptor)
