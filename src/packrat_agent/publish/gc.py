"""Collects garbage: removes files that no client can still want, and untracked files, below root_dir.

It never leaves the root, never follows a link and never enters what is mounted there.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.paths import is_kept
from packrat_agent.publish.directories import OpenDirectories
from packrat_core.failpoints import done
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import change_mode, open_directory, remove_directory, split_path
from packrat_core.fs.mounts import mounts_below


def collect_garbage(
    root: Path, paths: Iterable[str], kept: Collection[str], on_denied: Callable[[str], None] | None = None
) -> list[str]:
    """Remove files and links one by one, then the directories that this leaves empty; returns the removed paths.

    Args:
        root: root_dir.
        paths: what to remove, relative to `root`.
        kept: the operator's keep files, relative to `root`.
        on_denied: called with each path that this user may not remove; it is left in place.

    Raises:
        DiskError: the disk failed, or without `on_denied`, a path may not be removed.
    """
    removed: list[str] = []
    parents: set[str] = set()
    # As text, since a takeover may remove many thousands, and pathlib takes longer than the kernel.
    mounts = mounts_below(root)
    with OpenDirectories(root) as opened:
        for path in paths:
            parts = split_path(path)
            if not parts or is_kept(path, kept) or parts[0] == AGENT_DIR:
                continue
            with as_disk_error("remove", f"{root}/{path}"):
                try:
                    with _unless_elsewhere():
                        _refuse_mounts(root, parts, mounts)
                        _unlink(opened, parts)
                except PermissionError:
                    if on_denied is None:
                        raise
                    on_denied(path)
                    continue
                removed.append(path)
                done("file-collected")
            while parts.pop() and parts and (parent := "/".join(parts)) not in parents:
                parents.add(parent)
    remove_empty_directories(root, parents, kept)
    return removed


def remove_empty_directories(root: Path, directories: Iterable[str], kept: Collection[str]) -> None:
    """Remove those of the directories that are empty, deepest first.

    Args:
        root: root_dir.
        directories: Paths below it.
        kept: What keep_file and keep_file_list name.
    """
    mounts = mounts_below(root)
    with OpenDirectories(root) as opened:
        for directory in sorted(directories, key=lambda path: (-path.count("/"), path)):
            parts = split_path(directory)
            if parts and not is_kept(directory, kept):
                with suppress(OSError):
                    _refuse_mounts(root, parts, mounts)
                    os.rmdir(parts[-1], dir_fd=opened.find(parts[:-1]))


def remove_directories(
    root: Path, directories: Iterable[str], kept: Collection[str], on_denied: Callable[[str], None]
) -> list[str]:
    """Remove directories with their whole content, such as those that are too deep to walk.

    Args:
        root: root_dir.
        directories: what to remove, relative to `root`; one that holds a keep file stays.
        kept: the operator's keep files, relative to `root`.
        on_denied: called with each directory that this user may not remove.

    Returns:
        Those that were removed.

    Raises:
        DiskError: the disk failed.
    """
    removed = []
    for path in directories:
        if is_kept(path, kept) or any(keep.startswith(f"{path}/") for keep in kept):
            continue
        with as_disk_error("remove", root / path):
            try:
                with _unless_elsewhere(), _parent(root, path, mounts_below(root)) as (parent, name):
                    remove_directory(name, parent)
                    removed.append(path)
            except PermissionError:
                on_denied(path)
            except OSError as error:
                # Somebody puts things there at this moment: the next full sync goes on.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                    raise
    return removed


def open_up(root: Path, paths: Iterable[str]) -> list[str]:
    """Make files (0644) and directories (0755) of ours readable for everybody again; gives those of other users.

    Raises:
        DiskError: the disk failed.
    """
    # Read once: a tree that was copied may have very many closed files, and a host of containers many mounts.
    denied, mounts = [], mounts_below(root)
    for path in paths:
        with as_disk_error("open up", root / path), _unless_elsewhere():
            try:
                with _parent(root, path, mounts) as (parent, name):
                    change_mode(name, _open_mode, parent)
            except PermissionError:
                denied.append(path)
    return denied


@contextmanager
def _parent(root: Path, path: str, mounts: Collection[str]) -> Iterator[tuple[int, str]]:
    """Open the directory of a path below `root`; a link in its place leads nowhere.

    Raises: OSError
    """
    directory, _, name = path.rpartition("/")
    with open_directory(root, directory) as descriptor:
        _refuse_mounts(root, split_path(path), mounts)
        yield descriptor, name


def _refuse_mounts(root: Path, parts: Sequence[str], mounts: Collection[str]) -> None:
    """Raise OSError if a path is, or lies in, what is mounted there, also if that is of the same filesystem."""
    if mounts and any("/".join(parts[:count]) in mounts for count in range(1, len(parts) + 1)):
        raise OSError(errno.EXDEV, "is mounted there", f"{root}/{'/'.join(parts)}")


@contextmanager
def _unless_elsewhere() -> Iterator[None]:
    """Pass over what is gone, is mounted there, or lies behind a link or in what is mounted."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EBUSY):
            raise


def _open_mode(mode: int) -> int | None:
    if stat.S_ISDIR(mode):
        return 0o755
    return 0o644 if stat.S_ISREG(mode) else None


def unlock(root: Path, path: str) -> None:
    """Give the owner access to a directory that even the agent may not read.

    Raises:
        PermissionError: it belongs to somebody else.
    """
    with _unless_elsewhere(), _parent(root, path, mounts_below(root)) as (parent, name):
        change_mode(name, lambda mode: stat.S_IMODE(mode) | stat.S_IRWXU if stat.S_ISDIR(mode) else None, parent)


def _unlink(opened: OpenDirectories, parts: Sequence[str]) -> None:
    name, parent = parts[-1], opened.find(parts[:-1])
    # A directory may have taken the place of the file. It stays until the full scan has looked at what is in it.
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
