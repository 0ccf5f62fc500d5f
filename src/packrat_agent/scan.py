"""Looks at everything below root_dir and tells what is as remembered, what is damaged, and what is foreign.

Takes: the root, and path → StoredFile as remembered.
Gives: a Scan.
Touches: nothing; reads every file, follows no link, crosses no mount point.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.disk import AGENT_DIR, link_digest, told_as_disk_error
from packrat_agent.errors import DiskError
from packrat_agent.model import StoredFile


@dataclass(slots=True)
class Scan:
    """What stands below `root_dir`; all paths are relative to it.

    good: remembered files with the right bytes, as they are now. damaged: remembered, but missing, of another type or
    with other bytes. strangers: regular files that nobody remembers, hashed. oddities: links, sockets and the like.
    empty: directories without any file below, deepest first. mounts: directories of other filesystems, not entered.
    """

    good: list[StoredFile] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    strangers: list[StoredFile] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)


def scan(
    root: Path,
    remembered: Mapping[str, StoredFile],
    on_progress: Callable[[int, int], None],
    hash_strangers: bool = True,
) -> Scan:
    """Walk `root` and hash every regular file.

    on_progress: called with (files, bytes) since the last call.
    Raises: DiskError where a directory can't be read: then nothing is known, and nothing may be removed.
    """
    found = Scan()
    with told_as_disk_error("read", root):
        device = root.lstat().st_dev
        _walk(root, "", device, _Visit(remembered, found, on_progress, hash_strangers))
    seen = {file.path for file in found.good} | set(found.damaged)
    found.damaged += sorted(path for path in remembered if path not in seen)
    return found


@dataclass(frozen=True, slots=True)
class _Visit:
    remembered: Mapping[str, StoredFile]
    found: Scan
    on_progress: Callable[[int, int], None]
    hash_strangers: bool


def _walk(directory: Path, relative: str, device: int, visit: _Visit) -> bool:
    """Visit one directory; True where anything that is no directory stands in or below it."""
    occupied = False
    with os.scandir(directory) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = f"{relative}/{entry.name}" if relative else entry.name
        if path == AGENT_DIR:
            continue
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if status.st_dev != device:
                visit.found.mounts.append(path)
                occupied = True
            elif _walk(Path(entry.path), path, device, visit):
                occupied = True
            else:
                visit.found.empty.append(path)
            continue
        occupied = True
        if stat.S_ISREG(status.st_mode):
            _look_at(Path(entry.path), path, status, visit)
        elif path not in visit.remembered:
            visit.found.oddities.append(path)
        elif stat.S_ISLNK(status.st_mode):
            was = visit.remembered[path]
            if was.sha256 != link_digest(str(Path(entry.path).readlink())):
                continue
            visit.found.good.append(StoredFile(path, was.sha256, was.size, status.st_mtime_ns, status.st_ino))
    return occupied


def _look_at(file: Path, path: str, status: os.stat_result, visit: _Visit) -> None:
    remembered = visit.remembered.get(path)
    if remembered is None and not visit.hash_strangers:
        visit.found.strangers.append(StoredFile(path, "", status.st_size, status.st_mtime_ns, status.st_ino))
        return
    if remembered is not None and remembered.size != status.st_size:
        visit.found.damaged.append(path)
        return
    try:
        sha256 = hash_file(file)
    except (FileNotFoundError, DiskError):
        return
    except OSError:
        # Unreadable (EIO, EACCES): for a remembered file that is damage, for a stranger it is one all the same.
        sha256 = ""
    visit.on_progress(1, status.st_size)
    now = StoredFile(path, sha256, status.st_size, status.st_mtime_ns, status.st_ino)
    if remembered is None:
        visit.found.strangers.append(now)
    elif remembered.sha256 == sha256:
        visit.found.good.append(now)
    else:
        visit.found.damaged.append(path)


def hash_file(file: Path) -> str:
    """Hash one regular file without following a link; its SHA-256 in hex."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
