"""Syncs one repository: ask → remember → reconcile → fetch → build → render → sign → make live → collect garbage.

The numbered comments are these steps; no other module knows their order. `_sync_change` takes them all in one turn.
`_sync_in_full` gives up its turn while it asks and downloads, so that changes of the repository come between.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import structlog

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Fragment, Placement, Plan
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.file_rows import about
from packrat_agent.state.file_state import FileState
from packrat_agent.state.packages import IndexedFile, WantedFile
from packrat_agent.sync.account_for import account_for
from packrat_agent.sync.ask import ask_wanted
from packrat_agent.sync.build_repo import Build, build_repo
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.download import Fetched
from packrat_agent.sync.gains import Before, find_gains, new_refusals, of_entries, of_plan, refused_for_good, standing
from packrat_agent.sync.job import Job
from packrat_agent.sync.last_renders import Basis
from packrat_agent.sync.no_news import is_no_news
from packrat_agent.sync.place_ahead import place_ahead
from packrat_agent.sync.places import why_unbuilt
from packrat_agent.sync.reconcile import reconcile, reconcile_dry
from packrat_agent.sync.reconcile_portions import reconcile_in_portions
from packrat_agent.sync.removals import Missing, hold_back_removals, tell_held_back
from packrat_agent.sync.repo_work import WorkNotes
from packrat_agent.sync.scope import Scope, everything, narrow
from packrat_agent.sync.shared_downloads import Share
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread
from packrat_core.errors import Held
from packrat_core.failpoints import done

log = structlog.get_logger()


async def sync_repo(
    repo: Repo, order: Order, server: Packrat, context: MirrorContext, on_progress: Callable[[int, int], None]
) -> SyncResult:
    """Bring one repository on disk to the state that the server describes.

    Args:
        repo: The repository.
        order: What to do.
        server: The server to ask.
        context: The mirror.
        on_progress: Called with (files done, bytes downloaded) since the last call.

    Raises:
        PackratError: This repository can't be synced; what is published stays as it was.
    """
    started = time.monotonic()
    result, work = SyncResult(repo.name), WorkNotes(context.store.facts, repo.name)

    def count(files: int, size: int) -> None:
        result.bytes += size
        work.count(files)
        on_progress(files, size)

    form = FORMATS.get(repo.kind)
    result.held = why_unbuilt(repo, context.kept)
    if form is None or result.held is not None:
        return result
    sync = Job(repo, form, order, server, context, context.turns.of(repo.name), result, work, count)
    try:
        if context.dry_run:
            await _tell_plan(sync)
        elif order.reread:
            await _sync_in_full(sync)
        else:
            await _sync_change(sync)
    except Held as held:
        result.held = str(held)
    finally:
        await work.end()
    result.seconds = time.monotonic() - started
    return result


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the server wants in the repository, and what it lacks of what is live."""

    wanted: Wanted
    missing: Missing


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan, what it was made from, and on which of the repository's turns.

    leaving: what the published index still names, though it is remembered no more, or otherwise.
    """

    basis: Basis
    scope: Scope
    before: Before
    leaving: frozenset[IndexedFile]
    wanted_files: Sequence[WantedFile]
    fragments: Mapping[str, Fragment]
    plan: Plan
    at: int


async def _sync_change(sync: Job) -> None:
    turn, told, packages = sync.turn, sync.server.told, sync.order.packages
    async with turn.lock:
        try:
            # 1. Ask.
            moment = told.moment
            wanted = await _ask_wanted(sync, is_alone=True)
            if not turn.is_unfinished and await in_thread(_is_no_news, sync, wanted):
                sync.result.unaffected = True
                told.settle(sync.repo.name, packages, moment)
                return
            asked = await _account_for(sync, wanted)
            async with _working(sync) as share:
                # 2. Remember. 3. Reconcile.
                planned = _leave_to_full_sync(await in_thread(_plan, sync, asked), sync)
                told.settle(sync.repo.name, packages, moment)
                # 4. Fetch.
                fetched = await _fetch(planned.plan, share, sync)
                # 5. to 9. Build, render, sign, make live, collect garbage.
                await _build(planned, fetched, share, sync)
        finally:
            # Also where it failed: some of it may be remembered.
            turn.changes += 1


async def _sync_in_full(sync: Job) -> None:
    before = sync.turn.changes
    # 1. Ask.
    asked = await _ask(sync, is_alone=False)
    try:
        await place_ahead(sync, asked.wanted, before)
        await _sync_asked(sync, asked, before)
    finally:
        sync.turn.fetching = frozenset()


async def _sync_asked(sync: Job, asked: _Asked, before: int) -> None:
    """Do the rest of a full sync.

    Args:
        sync: The full sync.
        asked: What the server said.
        before: How many changes were synced when it was asked.
    """
    turn = sync.turn
    async with AsyncExitStack() as held:
        async with turn.lock:
            # What is planned here is fetched by this sync, and no change plans before that is said.
            turn.fetching = frozenset()
            if turn.changes != before:
                # What a change brought or took is in no list that was made before it.
                asked = await _ask(sync, is_alone=True)
            share = await held.enter_async_context(_working(sync))
            # 2. Remember. 3. Reconcile.
            planned = await in_thread(_plan, sync, asked)
            # 4. Fetch. The index must not lose files that it names: then changes wait until these are there again.
            if _names_what_is_missing(planned):
                fetched = await _fetch(planned.plan, share, sync)
                await _build(planned, fetched, share, sync)
                return
        turn.fetching = frozenset(placement.file.sha256 for placement in planned.plan.fetch)
        fetched = await _fetch(planned.plan, share, sync)
        await held.enter_async_context(turn.lock)
        turn.fetching = frozenset()
        if turn.changes != planned.at:
            planned = await in_thread(_plan_again, planned, sync)
            rest = await _fetch(_without(planned.plan, fetched), share, sync)
            fetched = Fetched(fetched.staged | rest.staged, fetched.failed | rest.failed)
        # 5. to 9. Build, render, sign, make live, collect garbage.
        await _build(planned, fetched, share, sync)


async def _ask(sync: Job, *, is_alone: bool) -> _Asked:
    return await _account_for(sync, await _ask_wanted(sync, is_alone=is_alone))


async def _ask_wanted(sync: Job, *, is_alone: bool) -> Wanted:
    alone = nullcontext if is_alone else lambda: sync.turn.lock
    return await ask_wanted(sync.repo, sync.order, sync.server, sync.context, sync.work, alone)


async def _account_for(sync: Job, wanted: Wanted) -> _Asked:
    return _Asked(wanted, await account_for(sync.repo, sync.order, wanted, sync.server, sync.context))


def _hold_back(sync: Job, asked: _Asked) -> Wanted:
    """Add to what is wanted what is not to go yet, and tell of it."""
    repo, context, accepted = sync.repo, sync.context, sync.order.confirmed.removals
    wanted = hold_back_removals(repo, asked.wanted, asked.missing, context.store, context.removals, accepted=accepted)
    sync.result.held = tell_held_back(repo, context.store)
    return wanted


def _is_no_news(sync: Job, wanted: Wanted) -> bool:
    last, packages = sync.context.last_renders.look(_basis(sync)), sync.order.packages
    return packages is not None and is_no_news(sync.repo, packages, wanted, last, sync.context.store)


@asynccontextmanager
async def _working(sync: Job) -> AsyncIterator[Share]:
    """Keep garbage collection away, and give the sync its staging directory."""
    async with sync.context.turns.working(sync.repo.name):
        with sync.staging() as share:
            yield share


def _plan(sync: Job, asked: _Asked) -> _Planned:
    """Remember what the server said, and reconcile it with the disk."""
    was_unfinished, sync.turn.is_unfinished = sync.turn.is_unfinished, True
    planned = _remember_and_plan(sync, asked)
    sync.turn.is_unfinished = was_unfinished or bool(planned.leaving)
    return planned


def _remember_and_plan(sync: Job, asked: _Asked) -> _Planned:
    repo, order, context, store = sync.repo, sync.order, sync.context, sync.context.store
    basis, wanted = _basis(sync), asked.wanted
    sync.result.rejected = list(wanted.rejected)
    store.rejections.note(repo.name, wanted.rejected, None if order.packages is None else wanted.uris)
    wanted = _hold_back(sync, asked)
    # A full sync decides everything again; what the last one left stays for the changes that come between.
    left = None if order.reread else context.last_renders.take(basis)
    scope = narrow(repo, order.packages, left, wanted.touched)
    if scope.packages is None and sync.form.keeps_index:
        return _plan_in_portions(sync, wanted, basis)
    indexed: Collection[IndexedFile] = store.wanted.indexed(repo.name, None) if scope.packages is None else ()
    store.wanted.remember_wanted(repo.name, wanted, order.packages)
    done("wanted-remembered")
    if scope.packages is None:
        leaving = frozenset(indexed).difference(store.wanted.indexed(repo.name, None))
    else:
        marks = store.wanted.marks(repo.name, scope.files or ())
        scope = scope.without_standing(marks)
        indexed = of_entries(repo, scope.before)
        leaving = frozenset(file for file in indexed if marks.get(file.uri) is None)
    wanted_files, fragments, plan = reconcile(scope, sync.form, order, store, context)
    before = Before(indexed, wanted_files)
    return _Planned(basis, scope, before, leaving, wanted_files, fragments, plan, sync.turn.changes)


def _plan_in_portions(sync: Job, wanted: Wanted, basis: Basis) -> _Planned:
    """Decide everything again, and hold only what is not settled."""
    repo, order, store = sync.repo, sync.order, sync.context.store
    some = about(order.packages, wanted.touched)
    lost = () if wanted.names_all_known else store.wanted.lost(repo.name, wanted.uris, some)
    gone = store.wanted.indexed_among(repo.name, lost)
    try:
        store.wanted.remember_wanted(repo.name, wanted, order.packages)
        done("wanted-remembered")
        planned = _reconcile_in_portions(sync, basis, frozenset(gone))
    except BaseException:
        # The state database may have lost what the index still names, so no change may start from that index.
        sync.context.last_renders.drop(repo.name)
        raise
    if planned.leaving and order.reread:
        # Until this sync has published, changes must not take what the database has for what the index names.
        store.revisions.advance(repo.name)
        planned = replace(planned, basis=replace(basis, revision=basis.revision + 1))
    return planned


def _reconcile_in_portions(sync: Job, basis: Basis, gone: frozenset[IndexedFile]) -> _Planned:
    scope, renders = everything(sync.repo), sync.context.last_renders
    is_placed = renders.is_placed(basis)
    if not is_placed:
        renders.begin_placing(basis)
    unsettled, plan = reconcile_in_portions(
        scope, sync.form, sync.order, sync.context.store, sync.context, is_placed=is_placed
    )
    renders.end_placing(basis)
    scope = replace(scope, looked_at=frozenset(item.file.uri for item in unsettled.wanted_files))
    before = Before(gone.union(unsettled.indexed), unsettled.wanted_files)
    leaving = gone.union(unsettled.moved)
    files, fragments = unsettled.wanted_files, unsettled.fragments
    return _Planned(basis, scope, before, leaving, files, fragments, plan, sync.turn.changes)


def _plan_again(first: _Planned, sync: Job) -> _Planned:
    """Plan again, since changes came between; these have told of what clients gained and lost by them."""
    if sync.form.keeps_index:
        again = _reconcile_in_portions(sync, _basis(sync), first.leaving)
        return replace(again, leaving=first.leaving)
    basis, scope, store = _basis(sync), everything(sync.repo), sync.context.store
    before = Before(first.leaving.union(store.wanted.indexed(sync.repo.name, None)), first.before.wanted_files)
    wanted_files, fragments, plan = reconcile(scope, sync.form, sync.order, store, sync.context)
    return _Planned(basis, scope, before, first.leaving, wanted_files, fragments, plan, sync.turn.changes)


def _basis(sync: Job) -> Basis:
    revision = sync.context.store.revisions.of(sync.repo.name)
    return Basis(sync.repo, sync.context.source_of(sync.form, sync.repo), revision)


def _names_what_is_missing(planned: _Planned) -> bool:
    missing = {placement.file.uri for placement in planned.plan.fetch}
    return any(item.state is FileState.LIVE and item.file.uri in missing for item in planned.wanted_files)


def _leave_to_full_sync(planned: _Planned, sync: Job) -> _Planned:
    """Take out of a plan what a full sync is downloading at the moment, unless it is what changed."""
    fetching, packages = sync.turn.fetching, frozenset(sync.order.packages or ())
    fetch = tuple(p for p in planned.plan.fetch if p.file.sha256 not in fetching or p.file.package in packages)
    sync.result.left = len(planned.plan.fetch) - len(fetch)
    return replace(planned, plan=replace(planned.plan, fetch=fetch))


def _without(plan: Plan, fetched: Fetched) -> Plan:
    """Leave what was fetched, or can't be, out of what is to be fetched."""
    done_with = fetched.staged.keys() | fetched.failed.keys()

    def are_parts_staged(placement: Placement) -> bool:
        return all(sha256 in fetched.staged for sha256 in plan.missing[placement.file.uri].values())

    return replace(
        plan,
        fetch=tuple(placement for placement in plan.fetch if placement.file.sha256 not in done_with),
        link=tuple(p for p in plan.link if not are_parts_staged(p) and p.file.sha256 not in done_with),
    )


async def _fetch(plan: Plan, share: Share, sync: Job) -> Fetched:
    sync.work.fetch(len(plan.fetch) + len(plan.link))
    return await sync.fetch(plan, share)


async def _build(planned: _Planned, fetched: Fetched, share: Share, sync: Job) -> None:
    changed = await build_repo(_to_build(planned, fetched, share, sync), sync.turn, is_last_try=False)
    if changed:
        # Somebody changed files that the index names or is to name: it must not lack them until the next full sync.
        fetched = await in_thread(_distrust, changed, fetched, sync)
        planned = await in_thread(_plan_again, planned, sync)
        again = await _fetch(_without(planned.plan, fetched), share, sync)
        fetched = Fetched(fetched.staged | again.staged, fetched.failed | again.failed)
        await build_repo(_to_build(planned, fetched, share, sync), sync.turn, is_last_try=True)
    sync.turn.is_unfinished = False


def _distrust(changed: Sequence[Placement], fetched: Fetched, sync: Job) -> Fetched:
    """Have files that others changed fetched again, from staging or their places."""
    staged = dict(fetched.staged)
    for placement in changed:
        path = staged.pop(placement.file.sha256, None)
        if path is not None:
            path.unlink(missing_ok=True)
        log.warning("damaged", repo=sync.repo.name, path=placement.path, text="changed on disk; it is replaced")
    sync.context.store.live.distrust(placement.path for placement in changed)
    return replace(fetched, staged=staged)


def _to_build(planned: _Planned, fetched: Fetched, share: Share, sync: Job) -> Build:
    own = replace(sync.context, staging=share.staging)
    return Build(
        planned.basis,
        planned.scope,
        sync.form,
        sync.order,
        planned.before,
        planned.wanted_files,
        planned.fragments,
        planned.plan,
        fetched,
        own,
        sync.result,
    )


async def _tell_plan(sync: Job) -> None:
    """Say what a sync would do, and remember nothing."""
    repo, order, context, result = sync.repo, sync.order, sync.context, sync.result
    asked = await _ask(sync, is_alone=False)
    result.rejected = list(asked.wanted.rejected)
    wanted = await in_thread(_hold_back, sync, asked)
    held = await in_thread(context.store.removals.held, repo.name)
    stays = await in_thread(context.store.record_reads.read_among, repo.name, list(held))
    wanted = replace(wanted, files=(*wanted.files, *stays))
    wanted_files, plan = await in_thread(reconcile_dry, repo, sync.form, wanted, order, context.store, context)
    new = (*plan.fetch, *plan.link)
    stands = {p.path for p in new if p.path in order.untracked and order.untracked[p.path].sha256 == p.file.sha256}
    parts = (path for p in plan.keep for path in plan.parts[p.file.uri] if path in order.untracked)
    result.adopted = [*parts, *sorted(stands)]
    result.downloads = [p.path for p in plan.fetch if p.file.sha256 not in plan.sources and p.path not in stands]
    result.planned = [*plan.keep, *plan.link, *plan.fetch]
    before, now = context.store.wanted.indexed(repo.name, None), of_plan(plan)
    gains = find_gains(before, now, standing(now, order.untracked), sync.form.treatment)
    result.added, result.removed = gains.added, gains.removed
    result.yanked, result.unyanked = gains.yanked, gains.unyanked
    result.refused = [*plan.refused, *refused_for_good(wanted_files)]
    result.newly_refused = new_refusals(result.refused, wanted_files)
