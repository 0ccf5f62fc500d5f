"""Syncs one repository: ask → remember → reconcile → fetch → build → render → sign → make live → collect garbage.

The numbered comments are these steps; no other module knows their order. `_sync_change` takes them all in one turn.
`_sync_in_full` gives up its turn while it asks and downloads, so that changes of the repository come between.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace

import structlog

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Placement, Plan
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.sync.build_repo import Build, build_repo
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.dry_run import note_plan
from packrat_agent.sync.fetch.download import Fetched
from packrat_agent.sync.fetch.shared_downloads import Share
from packrat_agent.sync.job import Job
from packrat_agent.sync.place_ahead import place_ahead
from packrat_agent.sync.planning.account_for import account_for
from packrat_agent.sync.planning.ask import ask_wanted
from packrat_agent.sync.planning.no_news import is_no_news
from packrat_agent.sync.planning.places import why_unbuilt
from packrat_agent.sync.planning.plan_repo import (
    Asked,
    Planned,
    basis_of,
    leave_to_full_sync,
    make_plan,
    names_what_is_missing,
    plan_again,
    without_fetched,
)
from packrat_agent.sync.repo_work import WorkNotes
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread
from packrat_core.errors import Held

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
    result.held = why_unbuilt(repo, context.root, context.kept)
    if form is None or result.held is not None:
        return result
    sync = Job(repo, form, order, server, context, context.turns.of(repo.name), result, work, count)
    try:
        if context.dry_run:
            await note_plan(sync, await _ask(sync, is_alone=False))
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


async def _sync_change(sync: Job) -> None:
    turn, changed, packages = sync.turn, sync.server.changed_packages, sync.order.packages
    async with turn.lock:
        try:
            # 1. Ask.
            moment = changed.moment
            wanted = await _ask_wanted(sync, is_alone=True)
            if not turn.is_unfinished and await in_thread(_is_no_news, sync, wanted):
                sync.result.unaffected = True
                changed.settle(sync.repo.name, packages, moment)
                return
            asked = await _account_for(sync, wanted)
            async with _working(sync) as share:
                # 2. Remember. 3. Reconcile.
                planned = leave_to_full_sync(await in_thread(make_plan, sync, asked), sync)
                changed.settle(sync.repo.name, packages, moment)
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


async def _sync_asked(sync: Job, asked: Asked, before: int) -> None:
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
            planned = await in_thread(make_plan, sync, asked)
            # 4. Fetch. The index must not lose files that it names: then changes wait until these are there again.
            if names_what_is_missing(planned):
                fetched = await _fetch(planned.plan, share, sync)
                await _build(planned, fetched, share, sync)
                return
        turn.fetching = frozenset(placement.file.sha256 for placement in planned.plan.fetch)
        fetched = await _fetch(planned.plan, share, sync)
        await held.enter_async_context(turn.lock)
        turn.fetching = frozenset()
        if turn.changes != planned.at:
            planned = await in_thread(plan_again, planned, sync)
            rest = await _fetch(without_fetched(planned.plan, fetched), share, sync)
            fetched = Fetched(fetched.staged | rest.staged, fetched.failed | rest.failed)
        # 5. to 9. Build, render, sign, make live, collect garbage.
        await _build(planned, fetched, share, sync)


async def _ask(sync: Job, *, is_alone: bool) -> Asked:
    return await _account_for(sync, await _ask_wanted(sync, is_alone=is_alone))


async def _ask_wanted(sync: Job, *, is_alone: bool) -> Wanted:
    alone = nullcontext if is_alone else lambda: sync.turn.lock
    return await ask_wanted(sync.repo, sync.order, sync.server, sync.context, sync.work, alone)


async def _account_for(sync: Job, wanted: Wanted) -> Asked:
    return Asked(wanted, await account_for(sync.repo, sync.order, wanted, sync.server, sync.context))


def _is_no_news(sync: Job, wanted: Wanted) -> bool:
    last, packages = sync.context.last_renders.look(basis_of(sync)), sync.order.packages
    return packages is not None and is_no_news(sync.repo, packages, wanted, last, sync.context.store)


@asynccontextmanager
async def _working(sync: Job) -> AsyncIterator[Share]:
    """Keep garbage collection away, and give the sync its staging directory."""
    async with sync.context.turns.working(sync.repo.name):
        with sync.staging() as share:
            yield share


async def _fetch(plan: Plan, share: Share, sync: Job) -> Fetched:
    sync.work.fetch(len(plan.fetch) + len(plan.link))
    return await sync.fetch(plan, share)


async def _build(planned: Planned, fetched: Fetched, share: Share, sync: Job) -> None:
    changed = await build_repo(_to_build(planned, fetched, share, sync), sync.turn, is_last_try=False)
    if changed:
        # Somebody changed files that the index names or is to name, or the disk does not give them: it must not lack
        # them until the next full sync.
        fetched = await in_thread(_distrust, changed, fetched, sync)
        share.forget(placement.file.sha256 for placement in changed)
        planned = await in_thread(plan_again, planned, sync)
        again = await _fetch(without_fetched(planned.plan, fetched), share, sync)
        fetched = Fetched(fetched.staged | again.staged, fetched.failed | again.failed)
        await build_repo(_to_build(planned, fetched, share, sync), sync.turn, is_last_try=True)
    sync.turn.is_unfinished = False


def _distrust(changed: Sequence[Placement], fetched: Fetched, sync: Job) -> Fetched:
    """Have files that others changed, or that the disk does not give, fetched again, for staging or their places."""
    staged = dict(fetched.staged)
    for placement in changed:
        path = staged.pop(placement.file.sha256, None)
        if path is not None:
            path.unlink(missing_ok=True)
        log.warning(
            "damaged", repo=sync.repo.name, path=placement.path, text="changed or unreadable on disk; it is replaced"
        )
    sync.context.store.live.distrust(placement.path for placement in changed)
    return replace(fetched, staged=staged)


def _to_build(planned: Planned, fetched: Fetched, share: Share, sync: Job) -> Build:
    own = replace(sync.context, staging=share.staging)
    return Build(
        basis=planned.basis,
        scope=planned.scope,
        form=sync.form,
        order=sync.order,
        before=planned.before,
        wanted_files=planned.wanted_files,
        fragments=planned.fragments,
        plan=planned.plan,
        fetched=fetched,
        context=own,
        result=sync.result,
    )
