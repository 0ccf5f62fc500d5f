"""One full pass of a mirror: look at every file on disk, ask for everything, mend, publish, collect_garbage.

Takes: a Mirror, its server, what the operator asked for.
Gives: a Summary; the chunks of a full pass, for the agent, which does them beside other work.
Touches: through pass_ and the other steps: everything.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import is_kept, kept_paths
from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.publish.claim import HARMLESS, check_mounted
from packrat_agent.publish.gc import collect_garbage, open_up, remove_empty_directories, unlock
from packrat_agent.publish.landing_page import SITE, Introduction, render_site
from packrat_agent.publish.scan import Scan, scan
from packrat_agent.publish.signing import declare_unsigned
from packrat_agent.state.facts import LastFullSync, RepoChanges
from packrat_agent.state.fragment_backup import drop
from packrat_agent.state.rejections import MIRROR
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import Order, SyncResult
from packrat_agent.sync.download import clear_staging
from packrat_agent.sync.mirror import Mirror, Wish
from packrat_agent.sync.removals import Leaving, hold_back_leaving
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.responses import LoginRefused
from packrat_core.errors import DiskError, PackratError, ServerUnavailable
from packrat_core.failpoints import done
from packrat_core.threads import in_thread

log = structlog.get_logger()

Progress = Callable[[str, int, int], None]
"""(what is being done, files done, bytes done) since the last call."""


@dataclass(slots=True)
class Summary:
    """What one full pass did; `collected` names what was removed from disk, `errors` repository → why it stopped.

    `unremembered`: the state database knew nothing of a tree with files.
    """

    syncs: list[SyncResult] = field(default_factory=list)
    collected: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    unremembered: bool = False
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Nothing failed, was refused, rejected or held back."""
        spoiled = any(p.refused or p.rejected or p.failed or p.held for p in self.syncs)
        return not (self.errors or self.rejected or spoiled)


@dataclass(frozen=True, slots=True)
class Look:
    """What was remembered when a scan began, and what it found."""

    remembered: Mapping[str, StoredFile]
    found: Scan
    began: float


async def sync(mirror: Mirror, server: Packrat, wish: Wish, on_progress: Progress) -> Summary:
    """Do one full pass: ask for everything, look at every file on disk, mend, publish, collect_garbage.

    Raises: PackratError where the pass could not even begin; what stops one repository stands in the Summary.
    """
    started = time.monotonic()
    summary = Summary()
    view = await server.view()
    tell_rejected(mirror, view, summary)
    if wish.dry_run:
        await _dry_run(mirror, server, wish, view, summary, on_progress)
    else:
        seen = await in_thread(look, mirror, lambda files, size: on_progress("checking", files, size))
        await in_thread(note_look, mirror, seen)
        await in_thread(keep_repos, mirror, view, summary, accepted=wish.confirmed.removals)
        untracked = {file.path: file for file in seen.found.untracked}
        order = Order(None, True, confirmed=wish.confirmed, untracked=untracked)
        for repo in view.repos:
            await run_one(mirror, server, repo, order, summary, on_progress)
        await in_thread(keep_site, mirror)
        summary.collected = await in_thread(clean, mirror, seen)
        await server.heartbeat()
    summary.seconds = time.monotonic() - started
    if not wish.dry_run:
        note_full_pass(mirror, seen, summary)
    return summary


async def _dry_run(
    mirror: Mirror, server: Packrat, wish: Wish, view: MirrorView, summary: Summary, on_progress: Progress
) -> None:
    found = Scan()
    if mirror.context.root.exists():
        remembered = mirror.store.live.everything()
        count = lambda files, size: on_progress("checking", files, size)  # noqa: E731
        found = await in_thread(scan, mirror.context.root, remembered, count)
        summary.unremembered = bool(found.untracked) and not remembered
    untracked = {file.path: file for file in found.untracked}
    _hold_leaving(mirror, view, summary, accepted=wish.confirmed.removals)
    order = Order(None, True, True, wish.confirmed, untracked)
    for repo in view.repos:
        await run_one(mirror, server, repo, order, summary, on_progress)
    adopted = {path for result in summary.syncs for path in result.adopted}
    summary.collected = [path for path in _foreign(mirror, found) if path not in adopted]


def tell_rejected(mirror: Mirror, view: MirrorView, summary: Summary) -> None:
    """Tell which of the mirror's own records can't be used."""
    mirror.fault_log.rejected("", view.rejected)
    mirror.store.rejections.note(MIRROR, view.rejected)
    summary.rejected += [f"{rejection.record}: {rejection.reason}" for rejection in view.rejected]


async def run_one(
    mirror: Mirror, server: Packrat, repo: Repo, order: Order, summary: Summary, on_progress: Progress
) -> None:
    """Run the pass of one repository, and note how it went.

    Raises: ServerUnavailable, LoginRefused, DiskError: they stop all repositories alike.
    """

    def count(files: int, size: int) -> None:
        on_progress(repo.name, files, size)

    settings = replace(mirror.context.settings, clock_confirmed=order.confirmed.clock)
    try:
        if not order.dry_run:
            check_mounted(mirror.context.root)
        result = await sync_repo(repo, order, server, mirror.store, replace(mirror.context, settings=settings), count)
    except (ServerUnavailable, LoginRefused, DiskError) as error:
        if not order.dry_run:
            mirror.store.facts.update_repo(repo.name, error=str(error))
        raise
    except PackratError as error:
        mirror.fault_log.error(repo.name, str(error))
        summary.errors[repo.name] = str(error)
        if not order.dry_run:
            mirror.store.facts.update_repo(repo.name, error=str(error))
        return
    mirror.fault_log.result(result, whole=order.packages is None)
    summary.syncs.append(result)
    if not order.dry_run:
        now = time.time()
        changes: RepoChanges = {"checked": now, "held": result.held, "ahead": result.ahead, "error": None}
        if result.publications or result.added or result.removed:
            changes["published"] = now
        mirror.store.facts.update_repo(repo.name, **changes)


def look(mirror: Mirror, on_progress: Callable[[int, int], None]) -> Look:
    """Walk root_dir and hash every file.

    Raises: DiskError where root_dir can't be read, or is not the one that the agent marked (an unmounted filesystem).
    """
    check_mounted(mirror.context.root)
    began = time.time()
    remembered = mirror.store.live.everything()
    root = mirror.context.root
    kept = kept_paths(root, mirror.config.mirror.keep_files)
    found = scan(root, remembered, on_progress, lambda path: None if is_kept(path, kept) else unlock(root, path))
    for path in found.locked:
        if path not in HARMLESS and not is_kept(path, kept):
            log.warning("foreign", path=path, text="this user may not look into it: make it the agent's, or remove it")
    found.closed = [path for path in found.closed if not is_kept(path, kept)]
    for mount in found.mounts:
        log.warning("mount", path=mount, text="another filesystem inside root_dir is left alone")
    return Look(remembered, found, began)


def note_look(mirror: Mirror, seen: Look) -> frozenset[str]:
    """Remember what a scan found; gives the repositories that have to be mended.

    What was published since the scan began is left as it was noted then.
    """
    store = mirror.store
    now = store.live.everything()
    same = {path for path, was in seen.remembered.items() if now.get(path) == was}
    damaged = [path for path in seen.found.damaged if path in same]
    for path in damaged:
        if seen.remembered[path].inode:
            log.warning("damaged", path=path, text="missing or changed on disk; it is replaced")
            store.events.add(time.time(), "damaged", None, path)
    for path in seen.found.closed:
        log.warning("damaged", path=path, text="not everybody may read it; its mode is set right")
    open_up(mirror.context.root, seen.found.closed)
    repos = store.live.repos_of(damaged)
    unreadable = set(seen.found.unreadable)
    store.live.forget(path for path in damaged if path not in unreadable)
    store.live.distrust(path for path in damaged if path in unreadable)
    changed = [
        file
        for file in seen.found.good
        if file.path in same
        and ((was := seen.remembered[file.path]).inode != file.inode or was.mtime_ns != file.mtime_ns)
    ]
    store.live.seen(changed, time.time())
    return repos


def keep_repos(mirror: Mirror, view: MirrorView, summary: Summary, *, accepted: bool) -> None:
    """Remember which repositories the mirror has, and tell of those that the server names no more but that stay."""
    leaving = _hold_leaving(mirror, view, summary, accepted=accepted)
    mirror.store.wanted.save_repos(view.repos, view.unusable.union(one.repo for one in leaving))
    for one in leaving:
        mirror.store.facts.update_repo(one.repo, held=one.reason)


def _hold_leaving(mirror: Mirror, view: MirrorView, summary: Summary, *, accepted: bool) -> tuple[Leaving, ...]:
    leaving = hold_back_leaving(view.repos, view.unusable, mirror.store, mirror.context.removals, accepted=accepted)
    for one in leaving:
        result = SyncResult(one.repo, held=one.reason)
        mirror.fault_log.result(result, whole=True)
        summary.syncs.append(result)
    return leaving


def keep_site(mirror: Mirror) -> None:
    """Publish the site's own files, and withdraw what left the mirror."""
    store = mirror.store
    repos = store.wanted.repos()
    publish_site(mirror, repos)
    present = {repo.name for repo in repos} | {SITE.name}
    for name in store.live.published_repos() - present:
        log.info("left", repo=name, text="no longer on the mirror; removed after the grace period")
        store.events.add(time.time(), "left", name, "no longer on the mirror")
        store.live.drop_repo(name, time.time())


def clean(mirror: Mirror, seen: Look | None) -> list[str]:
    """Remove what no client can still want, and with a scan at hand what is foreign; gives the removed paths."""
    store, config, root = mirror.store, mirror.config, mirror.context.root
    check_mounted(root)
    expired = store.generations.expired(time.time(), mirror.context.retention)
    kept = kept_paths(root, config.mirror.keep_files)
    gone = collect_garbage(root, expired, kept)
    store.live.forget(expired)
    done("garbage-noted")
    if seen is None:
        return gone
    foreign = collect_garbage(root, _foreign(mirror, seen.found), kept, _tell_denied)
    for path in foreign:
        log.info("foreign", path=path, text="not of this mirror, not a keep file; removed")
    gone += foreign
    remove_empty_directories(root, seen.found.empty, kept)
    clear_staging(mirror.context.staging, store.wanted.awaited())
    sources = [mirror.context.source_of(form) for form in FORMATS.values()]
    store.fragments.forget_unneeded(sources)
    drop(root, store.wanted.hashes(), sources)
    return gone


def note_full_pass(mirror: Mirror, seen: Look, summary: Summary) -> None:
    """Remember how a full pass went, for `status`."""
    good = seen.found.good
    mirror.store.facts.write(
        LastFullSync(
            began=seen.began,
            ended=time.time(),
            seconds=summary.seconds,
            files=len(good),
            bytes=sum(file.size for file in good),
            damaged=sum(1 for path in seen.found.damaged if path in seen.remembered),
            foreign=len(_foreign(mirror, seen.found)),
            complete=summary.complete,
        )
    )


def _tell_denied(path: str) -> None:
    log.warning("foreign", path=path, text="this user may not remove it: do so, or add it to keep_file_list")


def _foreign(mirror: Mirror, found: Scan) -> list[str]:
    kept = kept_paths(mirror.context.root, mirror.config.mirror.keep_files)
    ours = mirror.store.live.everything()
    root = mirror.context.root
    # What was damaged and nobody wants any more, such as a file of an earlier generation, is not mended.
    stale = [path for path in found.damaged if path not in ours and os.path.lexists(root / path)]
    paths = [*(file.path for file in found.untracked), *found.untracked_special, *stale]
    return [path for path in paths if path not in ours and not is_kept(path, kept)]


def publish_site(mirror: Mirror, repos: Iterable[Repo]) -> None:
    """Publish the landing page and the public key, where they changed."""
    store, context, settings = mirror.store, mirror.context, mirror.config.mirror
    shown = [repo for repo in sorted(repos, key=lambda repo: repo.name) if repo.kind in FORMATS]
    url = settings.public_url or "http://THIS-HOST"
    introductions = {repo.name: _introduce(mirror, repo, url) for repo in shown}
    kept = kept_paths(context.root, settings.keep_files)
    tree = render_site(settings.description, shown, introductions, mirror.public_key, kept)
    ready = declare_unsigned(tree, store.live.identities(SITE.name))
    if ready.publications:
        make_live(ready, (), (), store.live, context)


def _introduce(mirror: Mirror, repo: Repo, url: str) -> Introduction:
    form = FORMATS[repo.kind]
    signed = form.signed_part(repo, mirror.config.mirror.public_url) if mirror.public_key is not None else None
    return Introduction(form.client_setup(repo, url, signed is not None), signed)


def nothing_known(mirror: Mirror) -> bool:
    """True where the state database knows of no file: what is on disk is to be looked at before anything is fetched."""
    return not mirror.store.live.has_files()
