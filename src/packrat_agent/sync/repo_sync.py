"""Syncs one repository: ask → remember → reconcile → fetch → build → render → sign → make live → collect garbage.

The numbered comments of `sync_repo` and `_build` are these steps; no other module knows their order.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from packrat_agent.formats.interface import Format, RenderRequest, Treatment, tell_ahead, tell_held
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Plan
from packrat_agent.model.paths import is_kept
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.model.tree import ReadyTree
from packrat_agent.publish.gc import collect_garbage
from packrat_agent.publish.signing import declare_unsigned, sign_tree
from packrat_agent.state.fragment_backup import keep
from packrat_agent.state.last_render import LastRender
from packrat_agent.state.packages import IndexedFile, WantedFile
from packrat_agent.state.store import Store
from packrat_agent.sync.build import Made, Material, make
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.download import Fetched, fetch
from packrat_agent.sync.gains import (
    find_gains,
    new_refusals,
    of_entries,
    of_placements,
    refused_for_good,
    standing,
)
from packrat_agent.sync.reconcile import reconcile, reconcile_dry
from packrat_agent.sync.removals import hold_back_removals
from packrat_agent.sync.scope import Scope, narrow
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread
from packrat_core.errors import Held, ServerBroken
from packrat_core.failpoints import done

log = structlog.get_logger()


async def sync_repo(
    repo: Repo,
    order: Order,
    server: Packrat,
    store: Store,
    context: MirrorContext,
    on_progress: Callable[[int, int], None],
) -> SyncResult:
    """Bring one repository on disk to the state that the server describes.

    on_progress: called with (files done, bytes downloaded) since the last call.
    Raises: PackratError if this repository can't be synced; what is published stays as it was.
    """
    started = time.monotonic()
    result = SyncResult(repo.name)

    def count(files: int, size: int) -> None:
        result.bytes += size
        on_progress(files, size)

    form = FORMATS.get(repo.kind)
    result.held = _why_held(repo, context)
    if form is None or result.held is not None:
        return result
    # 1. Ask.
    wanted = await server.wanted(repo, order.packages, await in_thread(_known, repo, order, store))
    # 2. Remember.
    await in_thread(_note_rejected, repo, wanted, order, store, result)
    try:
        if order.packages is None:
            # A sync of some packages follows news of a change: the server named what goes.
            accepted = order.confirmed.removals
            await in_thread(hold_back_removals, repo, wanted, store, context.removals, accepted=accepted)
    except Held as held:
        result.held = str(held)
        return result
    if order.dry_run:
        decided = await in_thread(reconcile_dry, repo, form, wanted, order, store, context)
        return _tell_plan(*decided, order, store.wanted.indexed(repo.name, None), result)
    scope = narrow(repo, order.packages, store.last_renders.take(repo.name, (repo, context.source_of(form))))
    before = await in_thread(_remember, scope, wanted, order, store)
    # 3. Reconcile.
    wanted_files, plan = await in_thread(reconcile, scope, form, order, store, context)
    # 4. Fetch.
    fetched = await _fetch(plan, server, context, count)
    # 5. to 9. Build, render, sign, make live, collect garbage.
    await in_thread(_build, _Build(scope, form, wanted_files, plan, fetched, store, context, order, before, result))
    result.seconds = time.monotonic() - started
    return result


def _note_rejected(repo: Repo, wanted: Wanted, order: Order, store: Store, result: SyncResult) -> None:
    result.rejected = list(wanted.rejected)
    if not order.dry_run:
        store.rejections.note(repo.name, wanted.rejected, None if order.packages is None else wanted.uris)


def _known(repo: Repo, order: Order, store: Store) -> Mapping[str, PackageFile]:
    return {} if order.reread else store.wanted.known(repo.name, order.packages)


def _remember(scope: Scope, wanted: Wanted, order: Order, store: Store) -> list[IndexedFile]:
    """Remember the server's answer; gives what the index names, of which the rows may be gone now."""
    before = store.wanted.indexed(scope.repo.name, scope.packages)
    store.wanted.remember_wanted(scope.repo.name, wanted, order.packages)
    done("wanted-remembered")
    return before


def _why_held(repo: Repo, context: MirrorContext) -> str | None:
    if repo.kind not in FORMATS:
        return f"this packrat-agent builds no repositories of type {repo.kind}"
    if is_kept(repo.directory, context.kept):
        return f"its directory {repo.directory} is kept by keep_file; give it another one on the server"
    return None


async def _fetch(plan: Plan, server: Packrat, context: MirrorContext, count: Callable[[int, int], None]) -> Fetched:
    return await fetch(plan, context.staging, context.root, server.open_file, context.parallel_downloads, count)


def _tell_plan(
    wanted_files: Sequence[WantedFile],
    plan: Plan,
    order: Order,
    before: Collection[IndexedFile],
    result: SyncResult,
) -> SyncResult:
    new = (*plan.fetch, *plan.link)
    stands = {p.path for p in new if p.path in order.untracked and order.untracked[p.path].sha256 == p.file.sha256}
    parts = (part.path for p in plan.keep for part in p.parts if part.path in order.untracked)
    result.adopted = [*parts, *sorted(stands)]
    result.downloads = [p.path for p in plan.fetch if p.file.sha256 not in plan.sources and p.path not in stands]
    result.planned = [*plan.keep, *plan.link, *plan.fetch]
    now = of_placements((*plan.keep, *new))
    gains = find_gains(before, now, standing(now, order.untracked), FORMATS[plan.repo.kind].treatment)
    result.added, result.removed = gains.added, gains.removed
    result.refused = [*plan.refused, *refused_for_good(wanted_files)]
    result.newly_refused = new_refusals(result.refused, wanted_files)
    return result


@dataclass(frozen=True, slots=True)
class _Build:
    scope: Scope
    form: Format
    wanted_files: Sequence[WantedFile]
    plan: Plan
    fetched: Fetched
    store: Store
    context: MirrorContext
    order: Order
    before: Collection[IndexedFile]
    result: SyncResult


def _build(build: _Build) -> None:
    repo, store, result = build.scope.repo, build.store, build.result
    # 5. Build: read what was fetched; sign or unpack it if its type asks for that.
    made = make(build.plan, build.form, build.context.signer_of(build.form), _material(build))
    _note(build, made)
    done("packages-made")
    # 6. Render; the date is an input, rendering reads no clock.
    now = datetime.now(UTC)
    facts = store.live.facts(repo.name)
    entries = sorted((*build.scope.standing, *made.entries), key=lambda entry: entry.file.record_order)
    request = RenderRequest(repo, entries, build.context.settings, now, store.chunks, facts, build.scope.memo)
    tree = build.form.render(request)
    result.held = tell_held({publication.name: publication.facts for publication in tree.publications})
    # 7. Sign what changed.
    identities = store.live.identities(repo.name)
    key = build.context.key
    ready = declare_unsigned(tree, identities) if key is None else sign_tree(tree, key, identities, store.chunks)
    # 8. Make live, recorded before and after.
    placed = {place.path for place in made.places}
    withdrawn = [path for path in build.plan.withdraw if path not in placed]
    gone = set(store.live.pointers(repo.name)) - {"", *ready.publication_names}
    if ready.publications or made.places or withdrawn or gone:
        _publish(build, ready, made, withdrawn)
    facts |= {publication.name: publication.facts for publication in ready.publications}
    result.ahead = tell_ahead((facts[name] for name in ready.publication_names), now)
    for path in made.unneeded:
        path.unlink(missing_ok=True)
    store.live.reinstate(repo.name, (part.path for placement in build.plan.keep for part in placement.parts))
    store.wanted.set_live(repo.name, made.entries, build.scope.packages)
    done("live-noted")
    store.chunks.save()
    # 9. Collect garbage.
    if result.publications:
        _remove_old_indexes(build)
    if not (made.failed or made.unreadable or made.disagreeing):
        # Each file on disk now belongs to an entry or is withdrawn, so that the next sync may start from here.
        refused = frozenset(refusal.file.package for refusal in build.plan.refused)
        store.last_renders.keep(
            repo.name, (repo, build.context.source_of(build.form)), LastRender(entries, refused, build.scope.memo)
        )


def _remove_old_indexes(build: _Build) -> None:
    """Remove indexes that no client can still want: a busy repository would fill the disk before the full sync."""
    store, context = build.store, build.context
    expired = store.generations.expired_indexes(build.scope.repo.name, time.time(), context.retention)
    collect_garbage(context.root, expired, context.kept)
    store.live.forget(expired)
    done("indexes-collected")


def _material(build: _Build) -> Material:
    plan = build.plan
    known = {
        item.file.sha256: (item.size, item.fragment)
        for item in build.wanted_files
        if item.fragment is not None and item.size is not None
    }
    paths = None if build.scope.packages is None else {p.path for p in (*plan.keep, *plan.link, *plan.fetch)}
    accompanied = build.form.treatment is Treatment.ACCOMPANIED
    if accompanied and plan.fetch:
        # Only the files themselves tell under which names clients are to find them.
        paths = None
    names = build.store.live.published_names(build.scope.repo.directory, paths)
    return Material(
        build.context.root,
        build.context.staging,
        build.fetched.staged,
        build.fetched.failed,
        known,
        names,
        build.scope.claims() if accompanied or build.form.treatment is Treatment.UNPACKED else {},
    )


def _note(build: _Build, made: Made) -> None:
    wanted, repo = build.store.wanted, build.scope.repo.name
    source = build.context.source_of(build.form)
    fresh = [(sha, *read) for sha, read in made.fresh.items()]
    build.store.fragments.save(source, fresh)
    keep(build.context.root, source, fresh, build.wanted_files)
    wanted.refuse(repo, made.unreadable, unreadable=True)
    wanted.refuse(repo, made.disagreeing)
    wrong_bytes = [sha for sha, error in build.fetched.failed.items() if isinstance(error, ServerBroken)]
    wanted.note_trouble(repo, made.failed, wrong_bytes)
    build.result.failed = made.failed
    known = refused_for_good(build.wanted_files)
    build.result.refused = [*build.plan.refused, *known, *made.unreadable, *made.disagreeing]
    build.result.newly_refused = new_refusals(build.result.refused, build.wanted_files)


def _publish(build: _Build, tree: ReadyTree, made: Made, withdrawn: Sequence[str]) -> None:
    result, repo = build.result, build.scope.repo
    make_live(tree, made.places, withdrawn, build.store.live, build.context)
    now = of_entries(repo, made.entries)
    gains = find_gains(build.before, now, standing(now, build.order.untracked), build.form.treatment)
    result.publications = [publication.name for publication in tree.publications]
    result.added, result.removed = gains.added, gains.removed
    publications = ",".join(result.publications) or None
    log.info("published", repo=repo.name, publications=publications, added=len(gains.added), removed=len(gains.removed))
