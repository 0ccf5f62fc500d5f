"""Garbage collection at the end of a full sync, in portions, between which repositories are published.

A repository whose sync is under way is left out: what it found in place when it planned must still be there when it
publishes. Its garbage is collected by the next full sync. So is that of a repository which the disk refuses what it has
to do: its garbage may be what is still in use.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import structlog

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.paths import path_in_root
from packrat_agent.publish.claim import check_mounted
from packrat_agent.publish.gc import collect_garbage, remove_directories, remove_empty_directories
from packrat_agent.state.facts import TakeoverUnderWay
from packrat_agent.state.fragment_backup import tidy, write_missing
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.store import Store
from packrat_agent.sync.belongings import owned_last, take_for_withdrawn, without_needed
from packrat_agent.sync.context import MirrorContext, Summary
from packrat_agent.sync.disk_look import TOLD_LIMIT, Look, find_untracked
from packrat_agent.sync.fetch.staging import clear_staging
from packrat_core.aio.threads import in_thread
from packrat_core.errors import SigningError
from packrat_core.failpoints import done
from packrat_core.fs.immutable import explain_immutable

log = structlog.get_logger()

_FindLeft = Callable[[], Callable[[str], bool]]

_PORTION = 1000
_SEALED_LIST = "the sealed list"


class _UntrackedLog:
    """Logs what became of untracked files: the first by name, and the number of the others."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._removed = 0
        self._denied = 0

    def removed(self, path: str) -> None:
        """Tell that a path was removed."""
        self._removed += 1
        if self._removed <= TOLD_LIMIT:
            log.info("untracked", path=path, text="not of this mirror, not a keep file; removed")

    def denied(self, path: str) -> None:
        """Tell that a path can't be removed."""
        self._denied += 1
        if self._denied <= TOLD_LIMIT:
            item = self._root / path
            advice = explain_immutable(item, item.parent) or "remove it yourself"
            text = f"this user may not remove it: {advice}, or add it to keep_file_list"
            log.warning("untracked", path=path, text=text)

    def end(self) -> None:
        """Count those that were not told by name."""
        if self._removed > TOLD_LIMIT:
            log.info("untracked", count=self._removed - TOLD_LIMIT, text="this many more were removed")
        if self._denied > TOLD_LIMIT:
            log.warning("untracked", count=self._denied - TOLD_LIMIT, text="this user may not remove this many more")


async def collect(context: MirrorContext, seen: Look, summary: Summary) -> list[str]:
    """Remove what no client can still want, and what is untracked.

    Args:
        context: The mirror.
        seen: What the full sync's look at the disk found.
        summary: What the full sync did so far.

    Returns:
        The removed paths.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    publishing, store = context.turns.publishing, context.store
    check_mounted(context.root)
    expired = await in_thread(_find_expired, context)
    removed: list[str] = []
    untracked_log = _UntrackedLog(context.root)
    find_left = partial(_find_left, context, summary.stopped_by_disk)
    for expired_files in await in_thread(owned_last, store, expired):
        for portion in _portions(expired_files):
            async with publishing:
                removed += await in_thread(_collect_withdrawn, context, portion, find_left, untracked_log)
    done("garbage-noted")
    async with publishing:
        untracked = await in_thread(_removable, context, seen, summary)
    deep = frozenset(seen.found.directories.deep)
    for untracked_files in await in_thread(owned_last, store, untracked):
        for portion in _portions(untracked_files):
            async with publishing:
                removed += await in_thread(_collect_untracked, context, portion, deep, find_left, untracked_log)
    untracked_log.end()
    async with publishing:
        missing = await in_thread(_tidy_up, context, seen, summary.is_whole)
        if not (summary.errors or summary.rejected):
            await in_thread(store.facts.drop, TakeoverUnderWay)
    for source, sha256s in missing.items():
        for portion in _portions(sha256s):
            async with publishing:
                await in_thread(write_missing, context.root, source, store.fragments, portion)
    await in_thread(_seal, context, summary)
    return removed


def remove_old_indexes(repo: str, context: MirrorContext) -> None:
    """Remove indexes that no client can still want: a busy repository would fill the disk before the full sync.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    store = context.store
    now = _follow_clock(store)
    expired = store.generations.expired_indexes(repo, now, context.retention)
    expired = without_needed(store, expired)
    # What this user may not remove stops no sync; the full sync tells of it.
    denied: set[str] = set()
    collect_garbage(context.root, expired, context.kept, denied.add)
    store.live.forget([path for path in expired if path not in denied])
    done("indexes-collected")


def _find_expired(context: MirrorContext) -> list[str]:
    return context.store.generations.expired(_follow_clock(context.store), context.retention)


def _follow_clock(store: Store) -> float:
    now = time.time()
    store.generations.follow_clock(now, store.removals.clock, store.facts)
    return now


def _seal(context: MirrorContext, summary: Summary) -> None:
    # Nobody waits for the signature: it changes nothing in the live tree.
    try:
        context.seals.seal(_sources(context), summary.is_whole)
    except SigningError as error:
        # The former list stays. What has a key of its own, or needs none, must go on without the main key.
        summary.errors[_SEALED_LIST] = str(error)
        context.fault_log.beside("failed", _SEALED_LIST, f"the sealed list can't be rebuilt: {error}")
    else:
        context.fault_log.beside("failed", _SEALED_LIST, None)


def _removable(context: MirrorContext, seen: Look, summary: Summary) -> list[str]:
    """Name the untracked files that may go: not those that a repository which was not synced may still adopt."""
    stopped = {result.repo for result in summary.syncs if result.held is not None}.union(summary.errors)
    if (stopped or summary.rejected) and context.store.facts.read(TakeoverUnderWay) is not None:
        # The directory of a repository whose record can't be used is not known yet.
        return []
    below = tuple(path_in_root(repo, "") for repo in context.store.repos.all() if repo.name in stopped)
    return [path for path in find_untracked(context, seen.found) if not path.startswith(below)]


def _portions(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    return (paths[start : start + _PORTION] for start in range(0, len(paths), _PORTION))


def _collect_withdrawn(
    context: MirrorContext, paths: Iterable[str], find_left: _FindLeft, untracked_log: _UntrackedLog
) -> list[str]:
    """Remove withdrawn files, unless a repository has taken one back or may do so.

    Args:
        context: The mirror.
        paths: The files.
        find_left: Returns a test for paths that are left alone now.
        told: Hears of those that this user may not remove; the next full sync tries them again.
    """
    store, is_left = context.store, find_left()
    withdrawn = store.live.withdrawn_of(paths)
    expired = [path for path in paths if path in withdrawn and not is_left(path)]
    expired = without_needed(store, expired)
    denied: set[str] = set()
    gone = collect_garbage(context.root, expired, context.kept, denied.add)
    for path in expired:
        if path in denied:
            untracked_log.denied(path)
    store.live.forget([path for path in expired if path not in denied])
    return gone


def _collect_untracked(
    context: MirrorContext,
    paths: Iterable[str],
    directories: Collection[str],
    find_left: _FindLeft,
    untracked_log: _UntrackedLog,
) -> list[str]:
    """Remove untracked files, and those of the directories that are among the paths with all that they hold.

    Args:
        context: The mirror.
        paths: The files and directories.
        directories: Those that are directories, perhaps with others.
        find_left: As that of `_collect_withdrawn`.
        told: Hears of each.
    """
    ours, is_left = context.store.live.known_of(paths), find_left()
    untracked = [path for path in paths if path not in ours and not is_left(path)]
    belonging = take_for_withdrawn(context, untracked)
    untracked = [path for path in untracked if path not in belonging]
    whole = [path for path in untracked if path in directories]
    files = [path for path in untracked if path not in directories]
    gone = remove_directories(context.root, whole, context.kept, untracked_log.denied)
    gone += collect_garbage(context.root, files, context.kept, untracked_log.denied)
    for path in gone:
        untracked_log.removed(path)
    return gone


def _find_left(context: MirrorContext, stopped: Collection[str]) -> Callable[[str], bool]:
    """Return a test for paths that are left alone: those of repositories that are at work now, or were stopped."""
    repos = [repo for repo in context.store.repos.all() if repo.name in stopped or context.turns.is_working(repo.name)]
    # A repository in root_dir itself has the empty directory.
    directories = tuple(f"{repo.directory}/" if repo.directory else "" for repo in repos)
    return lambda path: path.startswith(directories)


def _tidy_up(context: MirrorContext, seen: Look, is_whole: bool) -> dict[FragmentSource, list[str]]:
    store, root = context.store, context.root
    remove_empty_directories(root, seen.found.directories.empty, context.kept)
    clear_staging(context.staging, store.wanted.awaited(), context.turns.is_working)
    sources = _sources(context)
    store.fragments.forget_unneeded(sources)
    return tidy(root, store.fragments, sources, removes=is_whole)


def _sources(context: MirrorContext) -> set[FragmentSource]:
    """List the sources of the repositories' fragments, with and without a key."""
    repos = [(FORMATS[repo.kind], repo) for repo in context.store.repos.all() if repo.kind in FORMATS]
    unsigned = {FragmentSource(form.kind, form.fragment_version) for form, _ in repos}
    return unsigned | {context.source_of(form, repo) for form, repo in repos}
