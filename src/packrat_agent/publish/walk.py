"""Walks everything below root_dir in a fixed order, without following a link or crossing a mount point."""

import os
import stat
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from packrat_agent.config.settings import AGENT_DIR

_OPEN_DIRECTORY = 0o555
_NAME = attrgetter("name")


class Item(NamedTuple):
    """What stands below root_dir and is not a directory; `path` is relative to it, `status` that of the item itself.

    A tuple, since a walk makes one for each file.
    """

    path: str
    status: os.stat_result


@dataclass(slots=True)
class Directories:
    """What a walk finds out about directories; all paths are relative to root_dir.

    empty: without any file below, deepest first. mounts: of other filesystems, not entered. nested: each is the
    root_dir of another agent of this user, not entered. closed: not everybody may look into them. locked: this user may
    not look into them.
    """

    empty: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)


Walk = Generator[Item, None, bool]
"""Yields items; returns whether there is anything but directories, at any depth."""


def walk(root: Path, found: Directories, unlock: Callable[[str], None] | None = None) -> Walk:
    """Walk `root`, each directory in the order of its names; the agent's own directory is left out.

    Args:
        root: root_dir.
        found: What is found out about directories is added to it.
        unlock: Called with a directory that this user may not read, before it is tried once more.

    Raises:
        OSError: The disk failed, or `root` itself can't be read.
    """
    return _walk(os.fspath(root), "", _Visit(root.lstat().st_dev, found, unlock))


def order_of(path: str) -> list[str]:
    """Return the key by which a walk orders paths."""
    return path.split("/")


@dataclass(frozen=True, slots=True)
class _Visit:
    device: int
    found: Directories
    unlock: Callable[[str], None] | None


def _walk(directory: str, relative: str, visit: _Visit) -> Walk:
    """Visit one directory.

    Raises:
        PermissionError: This user may not look into it; nothing of it was visited.
    """
    occupied = False
    try:
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=_NAME)
    except FileNotFoundError:
        # Garbage-collected during the walk.
        return False
    above = f"{relative}/" if relative else ""
    for entry in listed:
        path = above + entry.name
        if path == AGENT_DIR:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            occupied = (yield from _enter(entry, path, status, visit)) or occupied
        else:
            occupied = True
            yield Item(path, status)
    return occupied


def _enter(entry: "os.DirEntry[str]", path: str, status: os.stat_result, visit: _Visit) -> Walk:
    """Visit a directory inside; returns True if it is not empty."""
    if status.st_dev != visit.device:
        visit.found.mounts.append(path)
        return True
    if _is_root_dir(entry.path):
        visit.found.nested.append(path)
        return True
    occupied = yield from _unlock_and_walk(entry.path, path, visit)
    if occupied is None:
        visit.found.locked.append(path)
        return True
    if not occupied:
        visit.found.empty.append(path)
        return False
    if status.st_mode & _OPEN_DIRECTORY != _OPEN_DIRECTORY:
        visit.found.closed.append(path)
    return True


def _is_root_dir(directory: str) -> bool:
    """Tell whether an agent of this user works in a directory; what others made there protects no file of theirs."""
    own = f"{directory}/{AGENT_DIR}"
    try:
        status, mark = os.lstat(own), os.lstat(f"{own}/mark")
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and stat.S_ISREG(mark.st_mode) and status.st_uid == mark.st_uid == os.geteuid()


def _unlock_and_walk(directory: str, path: str, visit: _Visit) -> Generator[Item, None, bool | None]:
    """Visit a directory as `_walk` does; returns None if this user may not look into it."""
    with suppress(PermissionError):
        return (yield from _walk(directory, path, visit))
    if visit.unlock is not None:
        with suppress(PermissionError):
            visit.unlock(path)
            return (yield from _walk(directory, path, visit))
    return None
