"""Syncs one repository: ask → remember → reconcile → fetch → build → render → sign → make live → collect garbage.

The numbered comments of `sync_repo` and `_build` are these steps; no other module knows their order.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog

from packrat_agent.formats.interface import Format, RenderRequest, Treatment, tell_ahead
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Place, Plan
from packrat_agent.model.paths import is_kept
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.model.tree import ReadyTree
from packrat_agent.publish.gc import collect_garbage
from packrat_agent.publish.signing import declare_unsigned, sign_tree
from packrat_agent.state.fragment_backup import keep
from packrat_agent.state.last_render import LastRender
from packrat_agent.state.packages import WantedFile
from packrat_agent.state.store import Store
from packrat_agent.sync.ask import ask_wanted
from packrat_agent.sync.build import Made, Material, make
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.download import Fetched, fetch
from packrat_agent.sync.reconcile import reconcile, reconcile_dry
from packrat_agent.sync.removals import hold_back_removals
from packrat_agent.sync.repo_work import WorkNotes
from packrat_agent.sync.scope import Scope, narrow
from packrat_agent.upstream.client import Packrat
from packrat_core.errors import Held, ServerBroken, ServerUnavailable
from packrat_core.failpoints import done
from packrat_core.threads import in_thread

log = structlog.get_logger()

_FEW_DOWNLOADS = 10
"""Up to this number of files are downloaded at once; more are bulk work, which leaves the server time for others."""


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
    work = WorkNotes(store.facts, repo.name)
    try:
        return await _sync(repo, order, server, store, context, work, on_progress)
    finally:
        await work.end()


async def _sync(
    repo: Repo,
    order: Order,
    server: Packrat,
    store: Store,
    context: MirrorContext,
    work: WorkNotes,
    on_progress: Callable[[int, int], None],
) -> SyncResult:
    started = time.monotonic()
    result = SyncResult(repo.name)

    def count(files: int, size: int) -> None:
        result.bytes += size
        work.count(files)
        on_progress(files, size)

    form = FORMATS.get(repo.kind)
    result.held = _why_held(repo, context)
    if form is None or result.held is not None:
        return result
    # 1. Ask.
    wanted = await ask_wanted(repo, order, server, store, work)
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
        return _tell_plan(await in_thread(reconcile_dry, repo, form, wanted, order, store, context), order, result)
    scope = narrow(repo, order.packages, store.last_renders.take(repo.name, (repo, context.source_of(form))))
    await in_thread(store.wanted.remember_wanted, repo.name, wanted, order.packages)
    done("wanted-remembered")
    # 3. Reconcile.
    wanted_files, plan = await in_thread(reconcile, scope, form, order, store, context)
    # 4. Fetch.
    work.fetch(len(plan.fetch) + len(plan.link))
    fetched = await _fetch(plan, server, context, count)
    # 5. to 9. Build, render, sign, make live, collect garbage.
    await in_thread(_build, _Build(scope, form, wanted_files, plan, fetched, store, context, result))
    result.seconds = time.monotonic() - started
    return result


def _note_rejected(repo: Repo, wanted: Wanted, order: Order, store: Store, result: SyncResult) -> None:
    result.rejected = list(wanted.rejected)
    if not order.dry_run:
        store.rejections.note(repo.name, wanted.rejected, None if order.packages is None else wanted.uris)


def _why_held(repo: Repo, context: MirrorContext) -> str | None:
    if repo.kind not in FORMATS:
        return f"this packrat-agent builds no repositories of type {repo.kind}"
    if is_kept(repo.directory, context.kept):
        return f"its directory {repo.directory} is kept by keep_file; give it another one on the server"
    return None


async def _fetch(plan: Plan, server: Packrat, context: MirrorContext, count: Callable[[int, int], None]) -> Fetched:
    open_file = partial(server.open_file, bulk=len(plan.fetch) > _FEW_DOWNLOADS)
    return await fetch(plan, context.staging, context.root, open_file, context.parallel_downloads, count)


def _tell_plan(plan: Plan, order: Order, result: SyncResult) -> SyncResult:
    new = (*plan.fetch, *plan.link)
    stands = {p.path for p in new if p.path in order.untracked and order.untracked[p.path].sha256 == p.file.sha256}
    parts = (part.path for p in plan.keep for part in p.parts if part.path in order.untracked)
    result.adopted = [*parts, *sorted(stands)]
    unpacked = FORMATS[plan.repo.kind].treatment is Treatment.UNPACKED
    result.added = [f"{p.path} ({p.file.file_name})" if unpacked else p.path for p in new if p.path not in stands]
    result.removed = list(plan.withdraw)
    result.refused = list(plan.refused)
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
    result: SyncResult


def _build(build: _Build) -> None:
    repo, store, result = build.scope.repo, build.store, build.result
    # 5. Build: read what was fetched; sign or unpack it if its type asks for that.
    made = make(build.plan, build.form, build.context.key, _material(build))
    _note(build, made)
    done("packages-made")
    # 6. Render; the date is an input, rendering reads no clock.
    now = datetime.now(UTC)
    facts = store.live.facts(repo.name)
    entries = sorted((*build.scope.standing, *made.entries), key=lambda entry: entry.file.record_order)
    request = RenderRequest(repo, entries, build.context.settings, now, store.chunks, facts, build.scope.memo)
    try:
        tree = build.form.render(request)
    except Held as held:
        result.held = str(held)
        return
    # 7. Sign what changed.
    identities = store.live.identities(repo.name)
    key = build.context.key
    ready = declare_unsigned(tree, identities) if key is None else sign_tree(tree, key, identities, store.chunks)
    # 8. Make live, recorded before and after.
    placed = {place.path for place in made.places}
    withdrawn = [path for path in build.plan.withdraw if path not in placed]
    gone = set(store.live.pointers(repo.name)) - {"", *ready.publication_names}
    if ready.publications or made.places or withdrawn or gone:
        _publish(build, ready, made.places, withdrawn)
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
    names = build.store.live.published_names(build.scope.repo.directory, paths)
    return Material(
        build.context.root,
        build.context.staging,
        build.fetched.staged,
        build.fetched.failed,
        known,
        names,
        build.scope.claims() if build.form.treatment is Treatment.UNPACKED else {},
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
    build.result.outstanding = sum(isinstance(error, ServerUnavailable) for error in build.fetched.failed.values())
    build.result.refused = [*build.plan.refused, *made.unreadable, *made.disagreeing]


def _publish(build: _Build, tree: ReadyTree, places: Sequence[Place], withdrawn: Sequence[str]) -> None:
    result, repo = build.result, build.scope.repo.name
    make_live(tree, places, withdrawn, build.store.live, build.context)
    result.publications = [publication.name for publication in tree.publications]
    result.added = [place.path for place in places]
    result.removed = list(withdrawn)
    publications = ",".join(result.publications) or None
    log.info("published", repo=repo, publications=publications, added=len(places), removed=len(withdrawn))
