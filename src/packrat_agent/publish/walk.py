"""Walks everything below root_dir in a fixed order, without following a link or crossing a mount point."""

import os
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.publish.server_data import DIRECTORIES, is_server_data
from packrat_core.fs.mounts import mounts_below

_OPEN_DIRECTORY = 0o555
_NAME = attrgetter("name")
_AT_ONCE = 500
"""Number of items that are handed over together, at most."""
_DEEPEST = 100
"""Number of directories one in another that are entered: far more than any repository has. Each is open, and takes
frames of the interpreter, until what is in it was visited."""
EACH_LISTED = 100_000
"""Number of directories of a kind that are listed: who may write to root_dir can make millions of them."""
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SIGNS = frozenset((AGENT_DIR, *DIRECTORIES))
"""A directory without an entry of such a name is neither a root_dir nor a server's data: few have to be looked at."""

Item = tuple[str, os.stat_result]
"""The path, relative to root_dir, of what stands there and is not a directory, and the status of the item itself."""


@dataclass(slots=True)
class Directories:
    """The directories that a walk tells apart; all paths are relative to root_dir.

    Attributes:
        empty: Without any file below, deepest first; at most EACH_LISTED.
        mounts: Mount points, also of files; not entered.
        nested: Each is the root_dir of another agent of this user; not entered.
        server_data: Each is the data directory of a packrat-server; not entered.
        closed: Not everybody may look into them.
        locked: This user may not look into them.
        deep: Each lies in too many others, and is not entered; at most EACH_LISTED.
    """

    empty: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    server_data: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    deep: list[str] = field(default_factory=list)


Walk = Generator[Sequence[Item], None, bool]
"""Yields items, some of one directory at a time; returns whether there is anything but directories, at any depth."""


def walk(root: Path, found: Directories, unlock: Callable[[str], None] | None = None) -> Walk:
    """Walk `root`, each directory in the order of its names; the agent's own directory is left out.

    Args:
        root: root_dir.
        found: What is found out about directories is added to it.
        unlock: Called with a directory that this user may not read, before it is tried once more.

    Raises:
        OSError: The disk failed, or `root` itself can't be read.
    """
    return _walk(os.fspath(root), "", None, _Visit(root.lstat().st_dev, mounts_below(root), found, unlock))


def find_left_alone(directory: Path, above: int) -> list[str]:
    """List what is left alone in a directory, or the directory itself: mount points, root_dirs and data of servers.

    Args:
        directory: Its path.
        above: The directory above it, open.

    Raises:
        OSError: The disk failed.
    """
    found = Directories()
    visit = _Visit(os.fstat(above).st_dev, mounts_below(directory.parent), found, None)
    status = os.stat(directory.name, dir_fd=above, follow_symlinks=False)
    is_mounted = directory.name in visit.mounts
    for _ in _enter(directory.name, directory.name, above, None if is_mounted else status, visit):
        pass
    return [*found.mounts, *found.nested, *found.server_data]


def find_other_root(root: Path, relative: str) -> str | None:
    """Find another agent's root_dir that is, or contains, a directory below `root`; None if there is none."""
    names = relative.split("/") if relative else []
    ways = ("/".join(names[:count]) for count in range(1, len(names) + 1))
    return next((way for way in ways if _is_root_dir(f"{root}/{way}", None)), None)


def order_of(path: str) -> list[str]:
    """Return the key by which a walk orders paths."""
    return path.split("/")


class _LeftAlone(Exception):
    """A directory is another agent's root_dir, or a packrat-server's data."""


@dataclass(frozen=True, slots=True)
class _Visit:
    device: int
    mounts: frozenset[str]
    found: Directories
    unlock: Callable[[str], None] | None


def _walk(name: str, relative: str, above: int | None, visit: _Visit) -> Walk:
    """Visit one directory.

    Args:
        name: Its name in the directory above it, or the path of root_dir.
        relative: Its path below root_dir; '' for root_dir itself.
        above: The directory above it, open; None for root_dir itself.
        visit: The walk.

    Raises:
        PermissionError: This user may not look into it; nothing of it was visited.
        _LeftAlone: It is told in what is found out; nothing of it was visited.
    """
    directory = _open(name, above)
    if directory is None:
        return False
    start, occupied = f"{relative}/" if relative else "", False
    items: list[Item] = []
    try:
        listed = _entries_of(directory)
        if above is not None and not _SIGNS.isdisjoint(map(_NAME, listed)):
            _leave_alone(name, relative, above, visit)
        while listed:
            # Each holds its status from then on, which of a million files would fill the memory.
            entry = listed.pop()
            path = start + entry.name
            if path == AGENT_DIR:
                continue
            try:
                # What is mounted is not asked for it: that may be away, or let no other user look.
                status = None if path in visit.mounts else entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status is None or stat.S_ISDIR(status.st_mode):
                if items:
                    yield items
                    items = []
                occupied = (yield from _enter(entry.name, path, directory, status, visit)) or occupied
                continue
            occupied = True
            items.append((path, status))
            if len(items) == _AT_ONCE:
                yield items
                items = []
        if items:
            yield items
    finally:
        os.close(directory)
    return occupied


def _open(name: str, above: int | None) -> int | None:
    """Open a directory to list it; None where it is gone meanwhile, or something else has taken its place.

    Raises:
        OSError: It can't be read.
    """
    if above is None:
        return os.open(name, _LISTED)
    try:
        # A link that replaces it at this moment is not followed.
        return os.open(name, _LISTED | os.O_NOFOLLOW, dir_fd=above)
    except (FileNotFoundError, NotADirectoryError):
        # Garbage-collected during the walk, for one.
        return None


def _entries_of(directory: int) -> list[os.DirEntry[str]]:
    """List the entries of an open directory, the first name last."""
    with os.scandir(directory) as entries:
        return sorted(entries, key=_NAME, reverse=True)


def _enter(name: str, path: str, above: int, status: os.stat_result | None, visit: _Visit) -> Walk:
    """Visit a directory inside another one, or leave a mount point, also a file, alone; returns True if not empty.

    Args:
        name: Its name in the directory above it.
        path: Its path below root_dir.
        above: The directory above it, open.
        status: That of the directory itself; None of a mount point.
        visit: The walk.
    """
    if status is None or status.st_dev != visit.device:
        visit.found.mounts.append(path)
        return True
    try:
        if path.count("/") >= _DEEPEST:
            _leave_alone(name, path, above, visit)
            _list(path, visit.found.deep)
            return True
        occupied = yield from _unlock_and_walk(name, path, above, visit)
    except _LeftAlone:
        return True
    if occupied is None:
        visit.found.locked.append(path)
        return True
    if not occupied:
        _list(path, visit.found.empty)
        return False
    if status.st_mode & _OPEN_DIRECTORY != _OPEN_DIRECTORY:
        visit.found.closed.append(path)
    return True


def _leave_alone(name: str, path: str, above: int, visit: _Visit) -> None:
    """Look whether a directory is another agent's root_dir, or a packrat-server's data, and tell that.

    Args:
        name: Its name in the directory above it.
        path: Its path below root_dir.
        above: The directory above it, open.
        visit: The walk.

    Raises:
        _LeftAlone: It is.
    """
    if _is_root_dir(name, above):
        visit.found.nested.append(path)
        raise _LeftAlone
    if is_server_data(name, above):
        visit.found.server_data.append(path)
        raise _LeftAlone


def _list(path: str, listed: list[str]) -> None:
    """List a directory that the next walk comes by again, once something was done about those that are listed."""
    if len(listed) < EACH_LISTED:
        listed.append(path)


def _is_root_dir(name: str, above: int | None) -> bool:
    """Tell whether an agent of this user works in a directory; what others made there protects no file of theirs."""
    own = f"{name}/{AGENT_DIR}"
    try:
        status = os.stat(own, dir_fd=above, follow_symlinks=False)
        mark = os.stat(f"{own}/mark", dir_fd=above, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and stat.S_ISREG(mark.st_mode) and status.st_uid == mark.st_uid == os.geteuid()


def _unlock_and_walk(name: str, path: str, above: int, visit: _Visit) -> Generator[Sequence[Item], None, bool | None]:
    """Visit a directory as `_walk` does, with the same arguments; returns None if this user may not look into it."""
    try:
        return (yield from _walk(name, path, above, visit))
    except PermissionError:
        # What can't be listed may be looked into all the same, and nothing of another's is unlocked.
        _leave_alone(name, path, above, visit)
        if visit.unlock is None:
            return None
    with suppress(PermissionError):
        visit.unlock(path)
        return (yield from _walk(name, path, above, visit))
    return None
