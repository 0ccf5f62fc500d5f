"""Looks at every file below root_dir and says which are as remembered, which are damaged, and which are untracked.

It changes nothing, follows no link and does not cross a mount point. Inode, size, mtime and ctime are looked at every
time, and no program can set a ctime. A `Slice` decides of which files the content is read, too. What is read is not
left in the page cache.

    scan(ScanRequest(root, store.scanned, whole_tree(time.time()), on_progress))
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from packrat_agent.model.entries import StoredFile
from packrat_agent.publish.scan_slices import Slice
from packrat_agent.publish.scan_values import OnHashed, Scan, ScanRequest
from packrat_agent.publish.walk import Directories, Item, order_of, walk
from packrat_agent.state.scanned import KnownFile, Row, ScannedFiles
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.file_times import mtime_ns
from packrat_core.fs.inodes import BITS, inode
from packrat_core.fs.links import link_digest, open_directory
from packrat_core.fs.open import open_descriptor
from packrat_core.fs.page_cache import read_sparingly
from packrat_core.fs.verified import SMALL_BYTES, Opened, has_writer, is_settled, read_tick_ns

_PORTION = 500
_OPEN_FILE = 0o444
_FILE_MODE = 0o170000 | _OPEN_FILE
"""The bits of a mode that tell the type of a file, and who may read it."""
_OPEN_FILE_MODE = stat.S_IFREG | _OPEN_FILE
_UNSETTLED_NS = 1
"""Noted as the ctime of a file that a write need not have changed, or that is damaged: no file has it, so that one is
read again."""
_PUBLISHED_WITHIN_S = 60.0
"""A publication ends with the removal of staged files, which changes the ctime of those that were linked to."""


def scan(request: ScanRequest) -> Scan:
    """Look at every file.

    Raises:
        DiskError: The disk failed, or root_dir itself can't be read: then nothing may be removed.
    """
    found = Scan()
    visited: set[int] = set()
    with as_disk_error("read", request.root):
        walked = walk(request.root, found.directories, request.unlock)
        for portion in _portions(chain(walked, _remembered_in_others(request, found.directories))):
            rows, before = request.memory.rows([path for path, _ in portion]), len(found.damaged)
            found.untold = 0
            changed = _leave_out_unchanged(portion, rows, request.content, found)
            known = {path: KnownFile._make(rows[path]) for path, _ in changed if path in rows}
            right = [pair for item in changed if (pair := _look_at(item, known.get(item[0]), request, found))]
            # Hashes of paths: a set of all paths would take several times as much memory.
            visited.update(map(hash, rows))
            _note(right, request.memory, found)
            _doubt([known[file.path] for file in found.damaged[before:]], request.memory)
            # One call for all that were only looked at: it takes as long as the look at one.
            request.on_progress(found.untold, 0)
            request.on_portion()
    found.closed += found.directories.closed
    _find_missing(request.memory, visited, request.root, found)
    return found


def _remembered_in_others(request: ScanRequest, directories: Directories) -> Iterator[Sequence[Item]]:
    """Give the remembered files in directories that a walk leaves alone, as those of a packrat-server.

    Anyone who may write to a directory of ours can make it look like one. It begins once the walk is over.

    Args:
        request: What is scanned.
        directories: What the walk found out.
    """
    tops = tuple(f"{path}/" for path in (*directories.server_data, *directories.nested))
    for portion in request.memory.paths() if tops else ():
        found: list[Item] = []
        for path in portion:
            if not path.startswith(tops):
                continue
            directory, _, name = path.rpartition("/")
            # A file that is not there is reported later, with all that are missing.
            with suppress(OSError), open_directory(request.root, directory) as parent:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    found.append((path, status))
        yield found


def _portions(items: Iterable[Sequence[Item]]) -> Iterator[Sequence[Item]]:
    """Join what a walk gives to portions, each of which is looked at before the next item is found.

    A status from before a portion is read would be held against what is known after it, though files are published
    in between.
    """
    waiting: list[Item] = []
    for some in items:
        waiting += some
        if len(waiting) >= _PORTION:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _leave_out_unchanged(portion: Sequence[Item], rows: Mapping[str, Row], content: Slice, found: Scan) -> list[Item]:
    """Count the remembered files that have not changed since a scan found them right; nearly all have not.

    Args:
        portion: What stands there.
        rows: What is remembered, by path.
        content: A file whose content it reads counts as changed.
        found: Takes the count.

    Returns:
        The other items.
    """
    changed: list[Item] = []
    # One look at the clock for all: a ctime that is of the last tick now is looked at more closely.
    files, size, tick_ns = 0, 0, read_tick_ns()
    for item in portion:
        path, status = item
        row = rows.get(path)
        if (
            row is not None
            and row[2:6] == (status.st_size, status.st_mtime_ns, status.st_ino & BITS, status.st_ctime_ns)
            and status.st_mode & _FILE_MODE == _OPEN_FILE_MODE
            and status.st_ctime_ns < tick_ns
            and not content.takes(path)
        ):
            files += 1
            size += row[2]
        else:
            changed.append(item)
    found.files += files
    found.bytes += size
    found.untold += files
    return changed


def _look_at(
    item: Item, known: KnownFile | None, request: ScanRequest, found: Scan
) -> tuple[KnownFile, KnownFile] | None:
    """Look at one item; return a remembered file that is right, as it was and as it is now."""
    path, status = item
    if known is None and (request.is_passed_over(path) or _had_its_turn(path, request, found)):
        found.untold += 1
        return None
    if stat.S_ISREG(status.st_mode):
        if known is not None:
            return _look_at_known(item, known, request, found)
        if len(found.untracked) >= request.most_untracked:
            found.leave_out(path)
            found.untold += 1
            return None
        sha256 = ""
        # No package file is larger, and a sparse one may take years to its end.
        if request.reads_untracked and status.st_size <= request.largest:
            try:
                sha256, _ = _hash(request, item, found, request.on_hashed)
            except FileNotFoundError:
                return None
            except OSError:
                # It is untracked even if it can't be read.
                sha256 = ""
        request.on_progress(1, 0)
        found.untracked.append(StoredFile(path, sha256, status.st_size, mtime_ns(status), inode(status)))
    elif known is None:
        if len(found.untracked_special) < request.most_untracked:
            found.untracked_special.append(path)
        else:
            found.leave_out(path)
    elif stat.S_ISLNK(status.st_mode) and _link_digest_of(request.root / path) == known.sha256:
        return known, _as_seen_now(known, status, _settled_ctime_ns(status))
    else:
        found.damaged.append(known.file)
    return None


def _had_its_turn(path: str, request: ScanRequest, found: Scan) -> bool:
    if request.untracked_from and order_of(path) < order_of(request.untracked_from):
        found.left_out += 1
        return True
    return False


def _look_at_known(
    item: Item, known: KnownFile, request: ScanRequest, found: Scan
) -> tuple[KnownFile, KnownFile] | None:
    path, status = item
    file, ctime_ns = known.file, _settled_ctime_ns(status)
    if file.size != status.st_size:
        found.damaged.append(file)
        return None
    is_in_slice = request.content.takes(path)
    if is_in_slice or not _looks_as_before(status, known):
        try:
            sha256, ctime_ns = _hash(request, item, found)
        except FileNotFoundError:
            # Removed since, or about to be replaced: what is missing is looked for at the end.
            found.damaged.append(file)
            return None
        except OSError:
            # EIO, EACCES: it is mended.
            found.unreadable.add(path)
            sha256 = ""
        if is_in_slice:
            request.content.note_read(path, file.size)
        if sha256 != file.sha256:
            found.damaged.append(file)
            request.on_progress(1, 0)
            return None
        request.on_progress(1, 0)
    else:
        found.untold += 1
    if status.st_mode & _OPEN_FILE != _OPEN_FILE:
        found.closed.append(path)
    return known, _as_seen_now(known, status, ctime_ns)


def _looks_as_before(status: os.stat_result, known: KnownFile) -> bool:
    """Return whether a file is, by its inode and times, the one that was found right or published."""
    if (known.inode, known.mtime_ns) != (inode(status), mtime_ns(status)):
        return False
    if known.ctime_ns == 0:
        return status.st_ctime <= known.verified_at + _PUBLISHED_WITHIN_S
    return known.ctime_ns == status.st_ctime_ns


def _as_seen_now(was: KnownFile, status: os.stat_result, ctime_ns: int) -> KnownFile:
    """Return a file that is right as it is on disk; its moment stays the old one if nothing else has changed."""
    changed_ns, number = mtime_ns(status), inode(status)
    if (changed_ns, number, ctime_ns) == (was.mtime_ns, was.inode, was.ctime_ns):
        return was
    return was._replace(mtime_ns=changed_ns, inode=number, ctime_ns=ctime_ns, verified_at=time.time())


def _link_digest_of(link: Path) -> str:
    with suppress(OSError):
        return link_digest(str(link.readlink()))
    return ""


def _note(right: Sequence[tuple[KnownFile, KnownFile]], memory: ScannedFiles, found: Scan) -> None:
    """Count the files that are right, and note how they look where that has changed."""
    found.files += len(right)
    found.bytes += sum(now.size for _, now in right)
    changed = [(was, now) for was, now in right if was is not now and was != now]
    if changed:
        memory.note(changed)


def _doubt(damaged: Sequence[KnownFile], memory: ScannedFiles) -> None:
    """Have damaged files read again by the next scan: their turn is over, and the sync may die before it mends them."""
    doubted = [(file, file._replace(ctime_ns=_UNSETTLED_NS)) for file in damaged if file.ctime_ns != _UNSETTLED_NS]
    if doubted:
        memory.note(doubted)


def _hash(request: ScanRequest, item: Item, found: Scan, on_hashed: OnHashed | None = None) -> tuple[str, int]:
    """Hash one regular file without following a link.

    Args:
        request: What to scan.
        item: The file.
        found: Takes the count of what was read.
        on_hashed: As in the request.

    Returns:
        Its SHA-256 in hex, '' if it has grown, and its ctime from before it was read.

    Raises:
        OSError: It can't be read.
    """
    path, size = item[0], item[1].st_size
    digest, chunk, count = hashlib.sha256(), b"", 0
    descriptor, status = open_descriptor(f"{request.root}/{path}")
    try:
        # A process that has it mapped may write later without changing its ctime.
        ctime_ns = _UNSETTLED_NS if has_writer(descriptor) else _settled_ctime_ns(status)
        for chunk in read_sparingly(descriptor, status.st_size):
            digest.update(chunk)
            count += len(chunk)
            found.read_bytes += len(chunk)
            request.on_progress(0, len(chunk))
            # Somebody may let it grow for ever.
            if count > size:
                return "", _UNSETTLED_NS
        sha256 = digest.hexdigest()
        if on_hashed is not None and ctime_ns != _UNSETTLED_NS and len(chunk) == status.st_size <= SMALL_BYTES:
            on_hashed(path, sha256, Opened(descriptor, status, chunk))
    finally:
        os.close(descriptor)
    return sha256, ctime_ns


def _settled_ctime_ns(status: os.stat_result) -> int:
    """Return the ctime of a file, if a write since would have changed it."""
    return status.st_ctime_ns if is_settled(status.st_ctime_ns) else _UNSETTLED_NS


def _find_missing(memory: ScannedFiles, visited: set[int], root: Path, found: Scan) -> None:
    """Add the remembered files that the walk did not come by, unless they were published since."""
    elsewhere = tuple(f"{mount}/" for mount in found.directories.mounts)
    for portion in memory.paths():
        for path, known in memory.look_up([path for path in portion if hash(path) not in visited]).items():
            if not f"{path}/".startswith(elsewhere) and _is_in_place(root, known.file):
                continue
            found.damaged.append(known.file)
            if any(path.startswith(f"{directory}/") for directory in found.directories.locked):
                found.unreadable.add(path)


def _is_in_place(root: Path, file: StoredFile) -> bool:
    """Return whether a file stands there as it was published, and not behind a link or on another filesystem."""
    directory, _, name = file.path.rpartition("/")
    try:
        with open_directory(root, directory) as parent:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return False
    return (inode(status), mtime_ns(status), status.st_size) == (file.inode, file.mtime_ns, file.size)
