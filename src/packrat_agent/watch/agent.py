"""Follows the server for as long as it is let: hears what changed, does the syncs, checks the disk beside them.

Takes: a Mirror, a bell that asks for a full pass now.
Gives: nothing; it ends when it is cancelled.
Touches: through full_pass and pass_: everything.
"""

import asyncio
import os
import random
import re
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from packrat_agent.model.values import NOTHING_CONFIRMED, Confirmed, MirrorView, Repo, StoredFile
from packrat_agent.publish.claim import take_confirmed
from packrat_agent.publish.scan import be_gentle
from packrat_agent.status.nagios import AWAY_WARNING_S
from packrat_agent.status.prometheus import collect, serving_metrics
from packrat_agent.sync.context import Order
from packrat_agent.sync.full_sync import (
    Look,
    Progress,
    Summary,
    clean,
    keep_repos,
    keep_site,
    look,
    note_full_pass,
    note_look,
    nothing_known,
    run_one,
    tell_rejected,
)
from packrat_agent.sync.mirror import Mirror
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_agent.upstream.login import LoginState
from packrat_agent.watch import systemd as notify
from packrat_agent.watch.changes import follow
from packrat_agent.watch.memory import settle
from packrat_agent.watch.news import News
from packrat_agent.watch.throttle import Pace, Stopped
from packrat_agent.watch.work_queue import Work, WorkQueue
from packrat_core import __version__
from packrat_core.cinp.responses import LoginRefused
from packrat_core.errors import DiskError, PackratError, ServerUnavailable
from packrat_core.threads import in_thread

log = structlog.get_logger()

_QUIET_S = 0.05
_LONGEST_BURST_S = 0.5
_BACK_OFF_S = (1.0, 30.0)
_RETRY_S = (15.0, 900.0)
_REST_S = 1.0
"""A repository's indexes have dates in whole seconds that must rise, and never lie ahead: one publication a second."""
_FIGURES_S = 10.0
_MEANWHILE = "what is published stays served; tried again"
_NUMBERS = re.compile(r"\b(?:\d+(?:[.:]\d+)+|(?=[0-9a-fA-F-]*\d)[0-9a-fA-F-]{4,})\b")
"""Times, addresses and identifiers; not the status of an answer."""


@dataclass(slots=True)
class _Full:
    """A full pass under way: it ends when nothing is queue any more and the scan is through."""

    summary: Summary = field(default_factory=Summary)
    started: float = field(default_factory=time.monotonic)
    confirmed: Confirmed = NOTHING_CONFIRMED
    seen: Look | None = None
    failure: DiskError | None = None


@dataclass(slots=True)
class _Desk:
    """All that the running agent has in hand."""

    mirror: Mirror
    on_progress: Progress
    bell: asyncio.Event
    scanner: ThreadPoolExecutor
    stopping: threading.Event
    login: LoginState
    queue: WorkQueue = field(default_factory=WorkQueue)
    repos: dict[str, Repo] = field(default_factory=dict)
    full: _Full | None = None
    full_is_due: bool = True
    untracked: Mapping[str, StoredFile] = field(default_factory=dict)
    published_at: dict[str, float] = field(default_factory=dict)
    heard_at: dict[str, float] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    complaint: str = ""
    told: set[str] = field(default_factory=set)
    away_since: float | None = None


async def run(mirror: Mirror, on_progress: Progress, bell: asyncio.Event) -> None:
    """Follow the server until cancelled: everything at start and every interval, changes as they come.

    bell: set by whoever wants a full pass now.
    """
    packrat = mirror.config.packrat
    log.info("started", version=__version__, server=packrat.url, mirror=packrat.name)
    told = {"pid": os.getpid(), "host": socket.gethostname(), "at": time.time(), "version": __version__}
    mirror.store.notes.set_fact("started", told)
    for stale in ("scan", "failure"):
        mirror.store.notes.drop_fact(stale)
    stopping = threading.Event()
    async with serving_metrics(mirror.config):
        with ThreadPoolExecutor(1, "scan", be_gentle) as scanner:
            desk = _Desk(mirror, on_progress, bell, scanner, stopping, LoginState(mirror.fault_log.login))
            beside = [asyncio.ensure_future(one) for one in (_keep_time(desk), _give_signs_of_life(desk))]
            notify.ready()
            try:
                await _stay_connected(desk)
            finally:
                notify.stopping()
                stopping.set()
                for task in beside:
                    task.cancel()


async def _stay_connected(desk: _Desk) -> None:
    waits_s = 0.0
    while True:
        try:
            async with connected(desk.mirror.config, desk.login) as server:
                await _attend(desk, server)
        except PackratError as error:
            waits_s = _BACK_OFF_S[0] if not desk.complaint else min(waits_s * 2, _BACK_OFF_S[1])
            _complain(desk, error)
            asked_s = error.wait_s if isinstance(error, ServerUnavailable) else 0.0
            await asyncio.sleep(max(waits_s * random.uniform(0.5, 1.0), asked_s))  # noqa: S311 jitter


async def _give_signs_of_life(desk: _Desk) -> None:
    """Feed systemd's watchdog, and keep the figures for monitoring fresh."""
    every_s = min(notify.watchdog_interval_s() or _FIGURES_S, _FIGURES_S)
    while True:
        notify.watchdog()
        notify.status(desk.complaint or f"following {desk.mirror.config.packrat.url}")
        await in_thread(collect, desk.mirror.config)
        await asyncio.sleep(every_s)


def _complain(desk: _Desk, error: PackratError) -> None:
    desk.complaint = str(error)
    overdue = _is_overdue(desk, error)
    # A full disk is one fault, whichever file meets it; so is a server that numbers its answers.
    fault = str(error.__cause__.errno) if isinstance(error.__cause__, OSError) else _NUMBERS.sub("#", desk.complaint)
    if overdue:
        fault = "overdue"
    if fault in desk.told:
        return
    desk.told.add(fault)
    # What the log calls an error, `check` must not call good: a server that restarts is none.
    if overdue or not isinstance(error, ServerUnavailable):
        log.error("waiting", reason=desk.complaint, text=_MEANWHILE)
    else:
        log.warning("waiting", reason=desk.complaint, text=_MEANWHILE)
    notes, now = desk.mirror.store.notes, time.time()
    # It may be the state database's own disk that is full.
    with suppress(DiskError):
        notes.add_event(now, "waiting", None, desk.complaint)
        if not isinstance(error, DiskError):
            notes.note_server(desk.mirror.config.packrat.url, now, desk.complaint)
        if not isinstance(error, ServerUnavailable):
            notes.set_fact("failure", {"at": now, "reason": desk.complaint})


def _is_overdue(desk: _Desk, error: PackratError) -> bool:
    """Say whether the server has been away for longer than a restart takes."""
    if not isinstance(error, ServerUnavailable):
        return False
    if desk.away_since is None:
        desk.away_since = time.monotonic()
    return time.monotonic() - desk.away_since > AWAY_WARNING_S


async def _keep_time(desk: _Desk) -> None:
    """Make a full pass due at every interval, and whenever the bell rings."""
    interval_s = desk.mirror.config.mirror.full_sync_interval_s
    while True:
        try:
            await asyncio.wait_for(desk.bell.wait(), interval_s)
            desk.bell.clear()
            log.info("asked", text="somebody wants a full pass now")
        except TimeoutError:
            pass
        desk.full_is_due = True
        desk.queue.wake()


async def _attend(desk: _Desk, server: Packrat) -> None:
    """Hear and work until one of both fails."""

    def tell(news: News) -> None:
        for name in news.repos:
            desk.heard_at.setdefault(name, time.time())
        desk.queue.add(news.repos, mirror=news.mirror)

    tasks = [
        asyncio.ensure_future(follow(server, lambda: tuple(desk.repos.values()), tell)),
        asyncio.ensure_future(_work(desk, server)),
    ]
    desk.queue.add({}, mirror=True)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _work(desk: _Desk, server: Packrat) -> None:
    waits_s = _BACK_OFF_S[0]
    while True:
        await desk.queue.wait()
        await desk.queue.settle(_QUIET_S, _LONGEST_BURST_S)
        try:
            if await _drain(desk, server):
                await server.heartbeat()
                _note_health(desk)
        except DiskError as error:
            # The server is well: what is queue is tried again when the disk may be too.
            waits_s = min(waits_s * 2, _BACK_OFF_S[1]) if desk.complaint else _BACK_OFF_S[0]
            _complain(desk, error)
            await asyncio.sleep(waits_s)
            desk.queue.wake()


def _note_health(desk: _Desk) -> None:
    """Tell that trouble is over, once that could be written down: a disk that still fails is no recovery.

    Raises: DiskError
    """
    url = desk.mirror.config.packrat.url
    desk.mirror.store.notes.note_server(url, time.time())
    desk.away_since = None
    if desk.complaint:
        desk.mirror.store.notes.drop_fact("failure")
        desk.mirror.store.notes.add_event(time.time(), "recovered", None, url)
        desk.complaint = ""
        desk.told.clear()
        log.info("recovered", server=url)


async def _drain(desk: _Desk, server: Packrat) -> bool:
    """Do all that is queue, one repository at a time, a full pass in between; gives whether anything was to be done."""
    summary = Summary()
    worked = False
    while True:
        if desk.full_is_due and desk.full is None:
            await _begin_full(desk, server)
        if desk.queue.take_mirror():
            await _ask_mirror(desk, server, summary)
            worked = True
        work = desk.queue.take(_resting(desk))
        if work is not None:
            await _do(desk, server, work, summary)
            worked = True
            continue
        if not desk.queue.is_empty:
            asyncio.get_running_loop().call_later(_REST_S / 10, desk.queue.wake)
            return worked
        if desk.full is not None and (desk.full.seen is not None or desk.full.failure is not None):
            await _end_full(desk, server)
            worked = True
            continue
        return worked


def _resting(desk: _Desk) -> frozenset[str]:
    """Name the repositories that were published a moment ago."""
    now = time.monotonic()
    return frozenset(name for name, at in desk.published_at.items() if now - at < _REST_S)


async def _ask_mirror(desk: _Desk, server: Packrat, summary: Summary) -> MirrorView:
    """Look at the mirror's own record; repositories that are new or changed are queue a look after it."""
    try:
        view = await server.view()
    except BaseException:
        desk.queue.add({}, mirror=True)
        raise
    tell_rejected(desk.mirror, view, summary)
    accepted = desk.full is not None and desk.full.confirmed.removals
    await in_thread(keep_repos, desk.mirror, view, summary, accepted=accepted)
    changed = [repo.name for repo in view.repos if desk.repos.get(repo.name) != repo]
    desk.repos = {repo.name: repo for repo in view.repos}
    await in_thread(keep_site, desk.mirror)
    desk.queue.add(dict.fromkeys(changed))
    return view


async def _do(desk: _Desk, server: Packrat, work: Work, summary: Summary) -> None:
    repo = desk.repos.get(work.repo)
    if repo is None:
        return
    full = desk.full
    into = full.summary if full is not None and work.reread else summary
    heard_at = desk.heard_at.pop(work.repo, None)
    done_before = len(into.syncs)
    confirmed = full.confirmed if full is not None and work.reread else NOTHING_CONFIRMED
    order = Order(work.packages, work.reread, confirmed=confirmed, untracked=desk.untracked)
    try:
        await run_one(desk.mirror, server, repo, order, into, desk.on_progress)
    except (ServerUnavailable, LoginRefused, DiskError, asyncio.CancelledError):
        desk.queue.add({work.repo: work.packages})
        if work.reread:
            desk.queue.add_due([work.repo])
        raise
    result = into.syncs[-1] if len(into.syncs) > done_before else None
    if result is not None and result.publications:
        desk.published_at[work.repo] = time.monotonic()
    if result is not None and heard_at is not None and (result.publications or result.added):
        desk.mirror.store.notes.update_fact(f"repo:{repo.name}", {"lag_s": round(time.time() - heard_at, 3)})
    _try_again(desk, work.repo, failed=result is None or bool(result.failed))


def _try_again(desk: _Desk, repo: str, *, failed: bool) -> None:
    """Come back to a repository that something failed in, less and less often."""
    if not failed:
        desk.tries.pop(repo, None)
        return
    tries = desk.tries[repo] = desk.tries.get(repo, 0) + 1
    delay_s = min(_RETRY_S[0] * 2 ** (tries - 1), _RETRY_S[1])
    asyncio.get_running_loop().call_later(delay_s, desk.queue.add, {repo: None})


async def _begin_full(desk: _Desk, server: Packrat) -> None:
    """Start to look at the disk, and to ask for everything anew."""
    await server.renew_login()
    desk.full_is_due = False
    full = desk.full = _Full(confirmed=take_confirmed(desk.mirror.context.root))
    loop = asyncio.get_running_loop()
    if await in_thread(nothing_known, desk.mirror):
        # Nothing must be downloaded that is there already: look first.
        try:
            seen = await in_thread(look, desk.mirror, lambda files, size: desk.on_progress("checking", files, size))
        except BaseException:
            desk.full, desk.full_is_due = None, True
            raise
        desk.untracked = {file.path: file for file in seen.found.untracked}
        full.seen = seen
    else:
        began = loop.run_in_executor(desk.scanner, look, desk.mirror, Pace(desk.mirror, desk.stopping))
        began.add_done_callback(lambda done: _note_scan(desk, full, done))
    await _ask_mirror(desk, server, full.summary)
    desk.queue.add_due(desk.repos)


def _note_scan(desk: _Desk, full: _Full, done: "asyncio.Future[Look]") -> None:
    if done.cancelled():
        return
    error = done.exception()
    if error is None:
        full.seen = done.result()
    elif isinstance(error, DiskError):
        full.failure = error
    elif not isinstance(error, Stopped):
        full.failure = DiskError(f"the scan of root_dir failed: {error!r}")
    desk.queue.wake()


async def _end_full(desk: _Desk, server: Packrat) -> None:
    """Mend what the scan found, collect_garbage, and tell."""
    full = desk.full
    assert full is not None
    desk.mirror.store.notes.drop_fact("scan")
    if full.seen is None:
        desk.full = None
        asyncio.get_running_loop().call_later(_RETRY_S[0], desk.bell.set)
        assert full.failure is not None
        raise full.failure
    for name in await in_thread(note_look, desk.mirror, full.seen):
        if name in desk.repos:
            await _do(desk, server, Work(name, None), full.summary)
    desk.untracked = {}
    full.summary.collected = await in_thread(clean, desk.mirror, full.seen)
    full.summary.seconds = time.monotonic() - full.started
    note_full_pass(desk.mirror, full.seen, full.summary)
    desk.full = None
    settle()
    summary = full.summary
    log.info("checked", seconds=f"{summary.seconds:.1f}", repositories=len(desk.repos), removed=len(summary.collected))
