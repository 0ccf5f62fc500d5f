"""Runs the sync of one repository, and notes how it went for the log, the summary and `status`."""

import time
from dataclasses import replace
from functools import partial

from packrat_agent.formats.docker.layout import CATALOG
from packrat_agent.model.changes import Position
from packrat_agent.model.records import Repo
from packrat_agent.publish.claim import check_mounted
from packrat_agent.state.fact_table import Facts
from packrat_agent.state.facts import RepoChanges
from packrat_agent.sync.context import MirrorContext, Order, Progress, Summary, SyncResult
from packrat_agent.sync.landing.site import publish_own_keys, publish_site
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.reports import Begun, Reports
from packrat_core.aio.threads import in_thread
from packrat_core.cinp.refusals import LoginRefused
from packrat_core.errors import DiskError, PackratError, ServerUnavailable


async def sync_and_note(
    context: MirrorContext, server: Packrat, repo: Repo, order: Order, summary: Summary, on_progress: Progress
) -> SyncResult | None:
    """Sync one repository; what stops it alone goes into the summary.

    Args:
        context: The mirror.
        server: The server to ask.
        repo: The repository.
        order: What to do.
        summary: Takes the result, or why there is none.
        on_progress: Called with what was done since the last call.

    Returns:
        The result; None where an error stopped the sync.

    Raises:
        ServerUnavailable: The server is away, which stops all repositories alike.
        LoginRefused: The server refuses the login; the same.
        DiskError: The disk is full or fails; the same. What the system refuses for one path of the repository, such as
            one that somebody has taken, stops it alone.
    """
    facts, began = context.store.facts, time.time()
    order = _widen(order, server)
    begun, moment = server.reports.begin(repo), server.changed_packages.moment
    confirmed = replace(context, settings=replace(context.settings, clock_confirmed=order.confirmed.clock))
    try:
        if not context.dry_run:
            await _prepare(context)
        # Before anything is asked: what changes later may be missing from what is published.
        position = order.position or (None if context.dry_run else await server.reports.find_position(server.changes))
        result = await sync_repo(repo, order, server, confirmed, partial(on_progress, repo.name))
    except PackratError as error:
        # First, so that `check` knows what the log says.
        facts.update_repo(repo.name, error=str(error))
        if _stops_all(error, context, repo):
            raise
        server.reports.note_fault(repo.name)
        context.fault_log.error(repo.name, str(error))
        summary.note_error(repo.name, error)
        return None
    if order.packages is None and result.held is None:
        server.changed_packages.settle(repo.name, None, moment)
    context.fault_log.result(result, whole=order.packages is None)
    summary.syncs.append(result)
    await _renew_site(context, result)
    _note(facts, result, order, began)
    await _report(context, server.reports, begun, order, position, result)
    return result


def _stops_all(error: PackratError, context: MirrorContext, repo: Repo) -> bool:
    if isinstance(error, DiskError):
        return not error.path.startswith(f"{context.root}/{repo.directory}/")
    return isinstance(error, ServerUnavailable | LoginRefused)


async def _renew_site(context: MirrorContext, result: SyncResult) -> None:
    """Have the landing page rewritten, and at once the list of the host's images where it changed."""
    if result.publications:
        context.page.arrived.set()
    if CATALOG in result.publications and not context.dry_run:
        async with context.turns.publishing:
            await in_thread(publish_site, context)


async def _report(
    context: MirrorContext, reports: Reports, begun: Begun, order: Order, position: Position | None, result: SyncResult
) -> None:
    """Note whether a sync left something out, and report the repository if nothing is left out of it now."""
    repo = begun.repo
    if result.held or result.failed or result.refused or result.rejected:
        reports.note_fault(repo.name)
        return
    if result.left:
        reports.doubt(repo.name)
    elif order.packages is None:
        reports.note_whole(begun)
    if position is not None and not order.rest_waits:
        reports.reach(repo.name, position)
        # Hashing a large index takes time, so it is done only for a server that wants to know.
        if reports.is_taken and reports.is_whole(repo):
            if order.packages is None:
                # A full sync believes nothing that changes have left.
                context.store.index_digests.drop(repo.name)
            reports.add(repo, await in_thread(context.store.index_digests.digest, repo.name))


def _widen(order: Order, server: Packrat) -> Order:
    """Have the whole repository listed where so many packages changed that the server would not take their names."""
    if order.packages is None or server.login.can_name(order.packages):
        return order
    return replace(order, packages=None, named=order.packages)


async def _prepare(context: MirrorContext) -> None:
    check_mounted(context.root)
    if context.keys.of_sections:
        async with context.turns.publishing:
            await in_thread(publish_own_keys, context)


def _note(facts: Facts, result: SyncResult, order: Order, began: float) -> None:
    now = time.time()
    changes: RepoChanges = {"checked": now}
    if not result.unaffected:
        changes |= {"held": result.held, "ahead": result.ahead, "error": None}
    if result.publications or result.added or result.removed:
        changes["published"] = now
    facts.update_repo(result.repo, **changes)
    if not result.outstanding:
        # A sync of some packages says nothing of what was heard of before: a full sync may still be behind with that.
        facts.note_caught_up(result.repo, None if order.packages is None else order.heard_at or began)
