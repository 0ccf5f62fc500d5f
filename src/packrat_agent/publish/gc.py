"""Collects garbage: removes files that no client can still want, and untracked files, below root_dir.

It never leaves the root, never follows a link and never enters another filesystem.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.paths import is_kept
from packrat_core.failpoints import done
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import change_mode


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
    parents: set[PurePosixPath] = set()
    for path in paths:
        if is_kept(path, kept) or PurePosixPath(path).parts[0] == AGENT_DIR:
            continue
        with as_disk_error("remove", root / path):
            try:
                gone = _unlink(root, path)
            except PermissionError:
                if on_denied is None:
                    raise
                on_denied(path)
                continue
            if gone:
                removed.append(path)
                done("file-collected")
        parents.update(PurePosixPath(path).parents)
    remove_empty_directories(root, (str(parent) for parent in parents if str(parent) != "."), kept)
    return removed


def remove_empty_directories(root: Path, directories: Iterable[str], kept: Collection[str]) -> None:
    """Remove those of the directories that are empty, deepest first."""
    for directory in sorted(directories, key=lambda path: (-path.count("/"), path)):
        if not is_kept(directory, kept) and _parents_are_real(root, directory):
            with suppress(OSError):
                (root / directory).rmdir()


def open_up(root: Path, paths: Iterable[str]) -> None:
    """Make files (0644) and directories (0755) of ours readable for everybody again."""
    for path in paths:
        if not _parents_are_real(root, path):
            continue
        with as_disk_error("open up", root / path), suppress(FileNotFoundError):
            change_mode(root / path, _open_mode)


def _open_mode(mode: int) -> int | None:
    if stat.S_ISDIR(mode):
        return 0o755
    return 0o644 if stat.S_ISREG(mode) else None


def unlock(root: Path, path: str) -> None:
    """Give the owner access to a directory that even the agent may not read.

    Raises:
        PermissionError: it belongs to somebody else.
    """
    if _parents_are_real(root, path):
        change_mode(root / path, lambda mode: stat.S_IMODE(mode) | stat.S_IRWXU if stat.S_ISDIR(mode) else None)


def _unlink(root: Path, path: str) -> bool:
    if not _parents_are_real(root, path):
        return True
    with suppress(FileNotFoundError, NotADirectoryError):
        target = root / path
        if stat.S_ISDIR(target.lstat().st_mode):
            # A directory where a file was remembered: the full scan says what is in it.
            return True
        target.unlink()
    return True


def _parents_are_real(root: Path, path: str) -> bool:
    """Tell whether no directory on the way from `root` to `path` is a link or another filesystem."""
    device = root.lstat().st_dev
    at = root
    for part in PurePosixPath(path).parts[:-1]:
        at = at / part
        try:
            status = os.lstat(at)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISDIR(status.st_mode) or status.st_dev != device:
            return False
    return True
