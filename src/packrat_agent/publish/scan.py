"""Reads every file below root_dir and says which are as remembered, which are damaged, and which are untracked.

It changes nothing, follows no link and does not cross a mount point.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.entries import StoredFile
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import link_digest
from packrat_core.fs.open import open_regular

_CHUNK_BYTES = 4 * 1024 * 1024
_OPEN_FILE = 0o444
_OPEN_DIRECTORY = 0o555


@dataclass(slots=True)
class Scan:
    """What stands below `root_dir`; all paths are relative to it.

    good: remembered files with the right bytes, as they are now. damaged: remembered, but missing, of another type or
    with other bytes. untracked: regular files that nobody remembers, hashed. untracked_special: links, sockets, …
    empty: directories without any file below, deepest first. mounts: directories of other filesystems, not entered.
    closed: remembered files and directories that not everybody may read. locked: directories that this user may not
    even look into. unreadable: those of the damaged files that we were not let read, which may be sound.
    """

    good: list[StoredFile] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    untracked: list[StoredFile] = field(default_factory=list)
    untracked_special: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def scan(
    root: Path,
    remembered: Mapping[str, StoredFile],
    on_progress: Callable[[int, int], None],
    unlock: Callable[[str], None] | None = None,
) -> Scan:
    """Walk `root` and hash every regular file.

    Args:
        root: root_dir.
        remembered: path → file as last seen.
        on_progress: called with (files, bytes) since the last call, every few MiB; what it raises ends the scan.
        unlock: called with a directory that this user may not read, before it is tried once more.

    Raises:
        DiskError: the disk failed, or `root` itself can't be read: then nothing may be removed.
    """
    found = Scan()
    with as_disk_error("read", root):
        device = root.lstat().st_dev
        _walk(root, "", device, _Visit(remembered, found, on_progress, unlock))
    seen = {file.path for file in found.good} | set(found.damaged)
    missing = sorted(path for path in remembered if path not in seen)
    found.damaged += missing
    found.unreadable += [path for path in missing if any(path.startswith(f"{locked}/") for locked in found.locked)]
    return found


@dataclass(frozen=True, slots=True)
class _Visit:
    remembered: Mapping[str, StoredFile]
    found: Scan
    on_progress: Callable[[int, int], None]
    unlock: Callable[[str], None] | None


def _walk(directory: Path, relative: str, device: int, visit: _Visit) -> bool:
    """Visit one directory; True if it holds anything but directories, at any depth.

    Raises:
        PermissionError: This user may not look into it; nothing of it was visited.
    """
    occupied = False
    try:
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        # Garbage-collected during the scan.
        return False
    for entry in listed:
        path = f"{relative}/{entry.name}" if relative else entry.name
        if path == AGENT_DIR:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            occupied = _enter(entry, path, status, device, visit) or occupied
            continue
        occupied = True
        if stat.S_ISREG(status.st_mode):
            _look_at(Path(entry.path), path, status, visit)
        elif path not in visit.remembered:
            visit.found.untracked_special.append(path)
        elif stat.S_ISLNK(status.st_mode):
            was = visit.remembered[path]
            if was.sha256 != _link_digest_of(Path(entry.path)):
                continue
            visit.found.good.append(StoredFile(path, was.sha256, was.size, status.st_mtime_ns, status.st_ino))
    return occupied


def _enter(entry: "os.DirEntry[str]", path: str, status: os.stat_result, device: int, visit: _Visit) -> bool:
    """Visit a directory inside; True if it is not empty."""
    if status.st_dev != device:
        visit.found.mounts.append(path)
        return True
    occupied = _unlock_and_walk(Path(entry.path), path, device, visit)
    if occupied is None:
        visit.found.locked.append(path)
        return True
    if not occupied:
        visit.found.empty.append(path)
        return False
    if status.st_mode & _OPEN_DIRECTORY != _OPEN_DIRECTORY:
        visit.found.closed.append(path)
    return True


def _unlock_and_walk(directory: Path, path: str, device: int, visit: _Visit) -> bool | None:
    """Visit a directory as `_walk` does; None if this user may not look into it."""
    with suppress(PermissionError):
        return _walk(directory, path, device, visit)
    if visit.unlock is not None:
        with suppress(PermissionError):
            visit.unlock(path)
            return _walk(directory, path, device, visit)
    return None


def _link_digest_of(link: Path) -> str:
    with suppress(OSError):
        return link_digest(str(link.readlink()))
    return ""


def _look_at(file: Path, path: str, status: os.stat_result, visit: _Visit) -> None:
    remembered = visit.remembered.get(path)
    if remembered is not None and remembered.size != status.st_size:
        visit.found.damaged.append(path)
        return
    try:
        sha256 = _hash(file, visit.on_progress)
    except FileNotFoundError:
        return
    except OSError:
        # EIO, EACCES: a remembered file is mended; an untracked one is untracked even if it can't be read.
        sha256 = ""
        if remembered is not None:
            visit.found.unreadable.append(path)
    visit.on_progress(1, 0)
    now = StoredFile(path, sha256, status.st_size, status.st_mtime_ns, status.st_ino)
    if remembered is None:
        visit.found.untracked.append(now)
    elif remembered.sha256 == sha256:
        visit.found.good.append(now)
        if status.st_mode & _OPEN_FILE != _OPEN_FILE:
            visit.found.closed.append(path)
    else:
        visit.found.damaged.append(path)


def _hash(file: Path, on_progress: Callable[[int, int], None]) -> str:
    """Hash one regular file without following a link; its SHA-256 in hex."""
    digest = hashlib.sha256()
    with open_regular(file) as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
            on_progress(0, len(chunk))
    return digest.hexdigest()
