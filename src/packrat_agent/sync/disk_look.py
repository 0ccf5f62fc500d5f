"""Looks at every file below root_dir, and remembers in the state database what was found.

    seen = look(context, on_progress)       # hashes every file; may take hours
    repos = note_look(context, seen)        # what is damaged is forgotten, so that a sync replaces it

Files that were published between the two are left as they were noted then. A look beside other work reads the content
of a large tree in slices: `look_beside`.
"""

import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.paths import is_kept
from packrat_agent.publish.claim import HARMLESS, check_mounted
from packrat_agent.publish.gc import open_up, unlock
from packrat_agent.publish.scan import scan
from packrat_agent.publish.scan_slices import NEW_ROUND, Slice, UntrackedRest, plan_slice, read_limits, whole_tree
from packrat_agent.publish.scan_values import OnHashed, Scan, ScanRequest
from packrat_agent.state.facts import ScanRound, TakeoverUnderWay
from packrat_agent.sync.context import MirrorContext
from packrat_core.fs.disk_errors import as_disk_error

log = structlog.get_logger()

_OF_ANOTHER_USER = "not everybody may read it, and it is another user's: make it the agent's, or remove it"

TOLD_LIMIT = 1000
"""Paths that are logged by name in one full sync, of a kind: who may write to root_dir can make millions of them."""
_UNTRACKED_LIMIT = 250_000
"""Untracked files that one full sync removes: each takes half a kilobyte of memory."""
_NOTE_POSITION_S = 10.0
"""Seconds of work that a killed scan does again, at most."""

OnProgress = Callable[[int, int], None]
"""Called with (files, bytes read) since the last call."""


@dataclass(frozen=True, slots=True)
class Look:
    """The finding of a scan; `is_first`: the state database knew of no file when it began."""

    is_first: bool
    found: Scan
    began: float


def look(context: MirrorContext, on_progress: OnProgress) -> Look:
    """Walk root_dir and hash every file.

    Raises:
        DiskError: root_dir can't be read, or is not the one that the agent marked (an unmounted filesystem).
    """
    return _look(context, whole_tree(time.time()), on_progress, reads_untracked=True)


def look_beside(context: MirrorContext, on_progress: OnProgress, *, reads_everything: bool) -> Look:
    """Look at every file beside other work, and read the content of those whose turn it is.

    Args:
        context: The mirror.
        on_progress: Called with (files, bytes read) since the last call; what it raises ends the look.
        reads_everything: Whether the content of all files is read, whatever `scan_days` says.

    Raises:
        DiskError: As `look`.
    """
    now, store = time.time(), context.store
    content = whole_tree(now)
    if not reads_everything:
        last = store.facts.read(ScanRound) or NEW_ROUND
        content = plan_slice(read_limits(context.config.mirror), last, store.scanned.total_bytes(), now)
    return _look(context, content, on_progress, reads_untracked=False)


def _look(context: MirrorContext, content: Slice, on_progress: OnProgress, *, reads_untracked: bool) -> Look:
    root, kept, facts = context.root, context.kept, context.store.facts
    check_mounted(root)
    began = noted_at = time.time()
    is_first = not context.store.live.has_files()
    # Every file may be adopted then.
    lists_all = is_looked_at_first(context)
    rest = facts.read(UntrackedRest) or UntrackedRest(None)

    def note_position() -> None:
        nonlocal noted_at
        if not 0 <= time.time() - noted_at < _NOTE_POSITION_S:
            noted_at = time.time()
            facts.write(content.round)

    found = scan(
        ScanRequest(
            root=root,
            memory=context.store.scanned,
            content=content,
            on_progress=on_progress,
            on_portion=note_position,
            unlock=lambda path: None if is_kept(path, kept) else unlock(root, path),
            reads_untracked=reads_untracked,
            largest=context.config.mirror.max_file_bytes,
            most_untracked=sys.maxsize if lists_all else _UNTRACKED_LIMIT,
            # Those that this user may not remove would take the turn of all others each time.
            untracked_from="" if lists_all else rest.first or "",
            # What the operator keeps must not use up the number.
            is_passed_over=lambda path: not lists_all and is_kept(path, kept),
        )
    )
    facts.write(content.end(time.time()))
    if found.first_left != rest.first:
        facts.write(UntrackedRest(found.first_left))
    found.closed = [path for path in found.closed if not is_kept(path, kept)]
    _tell_directories(found, kept)
    return Look(is_first, found, began)


def _tell_directories(found: Scan, kept: Collection[str]) -> None:
    """Tell of the directories that are left alone, and of how many files are left for the next full sync."""
    directories = found.directories
    locked = [path for path in directories.locked if path not in HARMLESS]
    text = "this user may not look into it: make it the agent's, or remove it"
    _tell_untracked([path for path in locked if not is_kept(path, kept)], text)
    for path in directories.mounts:
        log.warning("mount", path=path, text="what is mounted inside root_dir is left alone")
    text = f"root_dir of another mirror; it is left alone: move it elsewhere, or remove its {AGENT_DIR}"
    _tell_untracked([path for path in directories.nested if not is_kept(path, kept)], text)
    text = "data directory of a packrat-server; it is left alone: move it elsewhere, clients may see it"
    _tell_untracked([path for path in directories.server_data if not is_kept(path, kept)], text)
    if found.left_out:
        log.warning("untracked", count=found.left_out, text="this many more are left for the next full sync")


def _tell_untracked(paths: Sequence[str], text: str) -> None:
    for path in paths[:TOLD_LIMIT]:
        log.warning("untracked", path=path, text=text)
    if len(paths) > TOLD_LIMIT:
        log.warning("untracked", count=len(paths) - TOLD_LIMIT, text=f"this many more: {text}")


def _tell_closed(paths: Sequence[str], text: str) -> None:
    for path in paths[:TOLD_LIMIT]:
        log.warning("damaged", path=path, text=text)
    if len(paths) > TOLD_LIMIT:
        log.warning("damaged", count=len(paths) - TOLD_LIMIT, text=f"this many more: {text}")


def look_without_a_touch(context: MirrorContext, on_progress: OnProgress, on_hashed: OnHashed | None = None) -> Look:
    """Walk root_dir and hash every file for a dry run: no mode is changed, and root_dir need not exist.

    Args:
        context: The mirror.
        on_progress: As for `look`.
        on_hashed: Called with small untracked files as soon as they are hashed, while they are open.

    Raises:
        DiskError: root_dir can't be read.
    """
    began = time.time()
    with as_disk_error("read", context.root):
        is_there = context.root.exists()
    if not is_there:
        return Look(True, Scan(), began)
    is_first = not context.store.live.has_files()
    largest = context.config.mirror.max_file_bytes
    request = ScanRequest(
        context.root, context.store.scanned, whole_tree(began), on_progress, largest=largest, on_hashed=on_hashed
    )
    return Look(is_first, scan(request), began)


def note_look(context: MirrorContext, seen: Look) -> frozenset[str]:
    """Remember what a scan found; gives the names of what has to be mended: repositories, or the site.

    Raises:
        DiskError: The state database or a file's mode can't be written.
    """
    store = context.store
    denied = open_up(context.root, seen.found.closed)
    denied_paths = frozenset(denied)
    opened = [path for path in seen.found.closed if path not in denied_paths]
    _tell_closed(denied, _OF_ANOTHER_USER)
    _tell_closed(opened, "not everybody may read it; its mode is set right")
    # Others take the place of such files; a directory can't be replaced.
    of_others = store.scanned.look_up(denied)
    now = store.scanned.look_up([file.path for file in seen.found.damaged])
    # What was published since the scan is not what the scan saw.
    damaged = [file for file in seen.found.damaged if file.path in now and now[file.path].file == file]
    damaged += [known.file for known in of_others.values()]
    for file in damaged:
        # Inode 0: it was about to be published when the agent died, so it was never in place.
        if file.inode:
            log.warning("damaged", path=file.path, text="missing or changed on disk; it is replaced")
            store.events.add(time.time(), "damaged", None, file.path)
    if damaged:
        context.compared.forget()
    paths = [file.path for file in damaged]
    repos = store.live.repos_of(paths)
    unreadable = seen.found.unreadable
    store.live.forget(path for path in paths if path not in unreadable)
    store.live.distrust(path for path in paths if path in unreadable)
    return repos


def find_untracked(context: MirrorContext, found: Scan) -> list[str]:
    """Name what a scan found that the state database doesn't know now, and that the operator doesn't keep."""
    # A damaged file that nobody wants any more, such as one of an earlier generation, is not mended.
    stale = [file.path for file in found.damaged if os.path.lexists(context.root / file.path)]
    paths = [*(file.path for file in found.untracked), *found.untracked_special, *stale, *found.directories.deep]
    ours = context.store.live.known_of(paths)
    return [path for path in paths if path not in ours and not is_kept(path, context.kept)]


def is_looked_at_first(context: MirrorContext) -> bool:
    """Whether the disk is looked at before anything is downloaded.

    That is so if the state database knows of no file, or if a takeover is under way.
    """
    return not context.store.live.has_files() or context.store.facts.read(TakeoverUnderWay) is not None
