"""Looks at every file below root_dir, and remembers in the state database what was found.

    seen = look(context, on_progress)       # hashes every file; may take hours
    repos = note_look(context, seen)        # what is damaged is forgotten, so that a sync replaces it

Files that were published between the two are left as they were noted then.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import is_kept
from packrat_agent.publish.claim import HARMLESS, check_mounted
from packrat_agent.publish.gc import open_up, unlock
from packrat_agent.publish.scan import Scan, scan
from packrat_agent.state.facts import TakeoverUnderWay
from packrat_agent.sync.context import MirrorContext

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """What the state database knew when a scan began, and what the scan found."""

    remembered: Mapping[str, StoredFile]
    found: Scan
    began: float


def look(context: MirrorContext, on_progress: Callable[[int, int], None]) -> Look:
    """Walk root_dir and hash every file.

    Raises:
        DiskError: root_dir can't be read, or is not the one that the agent marked (an unmounted filesystem).
    """
    root, kept = context.root, context.kept
    check_mounted(root)
    began = time.time()
    remembered = context.store.live.everything()
    found = scan(root, remembered, on_progress, lambda path: None if is_kept(path, kept) else unlock(root, path))
    for path in found.locked:
        if path not in HARMLESS and not is_kept(path, kept):
            log.warning(
                "untracked", path=path, text="this user may not look into it: make it the agent's, or remove it"
            )
    found.closed = [path for path in found.closed if not is_kept(path, kept)]
    for mount in found.mounts:
        log.warning("mount", path=mount, text="another filesystem inside root_dir is left alone")
    return Look(remembered, found, began)


def look_without_a_touch(context: MirrorContext, on_progress: Callable[[int, int], None]) -> Look:
    """Do the same for a dry run: no mode is changed, and root_dir need not exist."""
    began = time.time()
    if not context.root.exists():
        return Look({}, Scan(), began)
    remembered = context.store.live.everything()
    return Look(remembered, scan(context.root, remembered, on_progress), began)


def note_look(context: MirrorContext, seen: Look) -> frozenset[str]:
    """Remember what a scan found; gives the names of what has to be mended: repositories, or the site.

    Raises:
        DiskError: The state database or a file's mode can't be written.
    """
    store = context.store
    # What was published since the scan began is not what the scan saw.
    changed_since = set(seen.remembered)
    changed_since.difference_update(file.path for file in store.live.each() if seen.remembered.get(file.path) == file)
    damaged = [path for path in seen.found.damaged if path in seen.remembered and path not in changed_since]
    for path in damaged:
        # Inode 0: it was about to be published when the agent died, so it was never in place.
        if seen.remembered[path].inode:
            log.warning("damaged", path=path, text="missing or changed on disk; it is replaced")
            store.events.add(time.time(), "damaged", None, path)
    for path in seen.found.closed:
        log.warning("damaged", path=path, text="not everybody may read it; its mode is set right")
    open_up(context.root, seen.found.closed)
    repos = store.live.repos_of(damaged)
    unreadable = set(seen.found.unreadable)
    store.live.forget(path for path in damaged if path not in unreadable)
    store.live.distrust(path for path in damaged if path in unreadable)
    changed = [
        file
        for file in seen.found.good
        if file.path not in changed_since
        and ((was := seen.remembered[file.path]).inode != file.inode or was.mtime_ns != file.mtime_ns)
    ]
    store.live.seen(changed, time.time())
    return repos


def find_untracked(context: MirrorContext, found: Scan) -> list[str]:
    """Name what a scan found that the state database doesn't know now, and that the operator doesn't keep."""
    # A damaged file that nobody wants any more, such as one of an earlier generation, is not mended.
    stale = [path for path in found.damaged if os.path.lexists(context.root / path)]
    paths = [*(file.path for file in found.untracked), *found.untracked_special, *stale]
    ours = context.store.live.known_of(paths)
    return [path for path in paths if path not in ours and not is_kept(path, context.kept)]


def is_looked_at_first(context: MirrorContext) -> bool:
    """Whether the disk is looked at before anything is downloaded.

    That is so if the state database knows of no file, or if a takeover is under way.
    """
    return not context.store.live.has_files() or context.store.facts.read(TakeoverUnderWay) is not None
