"""The running agent: hears what changes on the server, syncs what changed, and does a full sync at every interval.

    await Agent(context, on_progress, bell).run()       # until it is cancelled

1. One task hears what changes and puts it into the work queue; another gives it to the workers, one a repository.
2. A full sync goes on beside the changes: a few repositories at a time, each in a worker of its own, and its look at
   the disk in a thread. It ends when all are synced and the look is over, and it outlives a lost connection.
3. An error that stops all repositories alike ends the connection, or the work where it is the disk's; what was under
   way goes back into the queue, and everything goes on after a delay that grows.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed
from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.publish.claim import take_confirmed
from packrat_agent.state.facts import Failure, ScanProgress, Started
from packrat_agent.status.prometheus import collect, serving_metrics
from packrat_agent.sync.context import MirrorContext, Order, Progress, Summary, SyncResult
from packrat_agent.sync.disk_look import is_looked_at_first
from packrat_agent.sync.full_sync import AT_ONCE, FullSync, ask_mirror, keep_repos
from packrat_agent.sync.noted_sync import sync_and_note
from packrat_agent.sync.site import keep_site
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_agent.upstream.login import LoginState
from packrat_agent.watch import systemd as notify
from packrat_agent.watch.background_look import BackgroundLook
from packrat_agent.watch.changes import follow
from packrat_agent.watch.heartbeat import Heartbeat
from packrat_agent.watch.memory import settle
from packrat_agent.watch.news import News
from packrat_agent.watch.outage_log import OutageLog
from packrat_agent.watch.record_checks import RecordChecks
from packrat_agent.watch.work_queue import WorkQueue
from packrat_agent.watch.workers import Lane, Workers
from packrat_core import __version__
from packrat_core.aio.threads import in_thread
from packrat_core.backoff import BackOff
from packrat_core.errors import DiskError, PackratError, ServerUnavailable

log = structlog.get_logger()

_BACK_OFF = BackOff(first_s=1.0, longest_s=30.0)
_LOOK_AGAIN_S = 15.0
_METRICS_S = 10.0
_TOO_LONG = "longer than full_sync_interval: raise that"
_LISTED_AT_ONCE = 16
"""With so many changes worked on, none is begun that names no packages: each holds in memory all of its repository."""


class Agent:
    """Follows the server for as long as it is let."""

    def __init__(self, context: MirrorContext, on_progress: Progress, bell: asyncio.Event) -> None:
        """Take what to work on; whoever sets `bell` wants a full sync now."""
        self._context = context
        self._on_progress = on_progress
        self._bell = bell
        self._login = LoginState(context.fault_log.login)
        self._outage = OutageLog(context.store, context.config.packrat.url)
        self._queue = WorkQueue()
        self._workers = Workers(self._queue.wake)
        self._heartbeat = Heartbeat(self._workers, self._outage)
        self._paused_until = 0.0
        self._look = BackgroundLook(context, self._queue.wake)
        self._checks = RecordChecks(context.store.record_reads, self._queue.wake)
        self._repos: dict[str, Repo] = {}
        self._blocked: frozenset[str] = frozenset()
        """Repositories whose records are being changed; nobody starts to work on them."""
        self._read: set[str] = set()
        """Repositories whose records were read whole, and are trusted since."""
        self._full: FullSync | None = None
        self._is_full_due = True
        self._is_asked = False
        self._is_looking_first = False
        self._confirmed = NOTHING_CONFIRMED

    async def run(self) -> None:
        """Follow the server until cancelled: everything at the start and every interval, changes as they come."""
        self._note_start()
        loop = asyncio.get_running_loop()

        def read_all_again() -> None:
            loop.call_soon_threadsafe(self._read_all_again)

        self._context.store.record_reads.on_distrust = read_all_again
        async with serving_metrics(self._context.config):
            with self._look:
                beside = [
                    asyncio.ensure_future(self._keep_full_syncs_due()),
                    asyncio.ensure_future(self._give_signs_of_life()),
                ]
                notify.ready()
                try:
                    await self._stay_connected()
                finally:
                    notify.stopping()
                    for task in beside:
                        task.cancel()

    def _read_all_again(self) -> None:
        self._read.clear()
        self._queue.add_due(self._repos)

    def _note_start(self) -> None:
        packrat, facts = self._context.config.packrat, self._context.store.facts
        log.info("started", version=__version__, server=packrat.url, mirror=packrat.name)
        facts.write(Started(os.getpid(), socket.gethostname(), time.time(), __version__))
        for stale in (ScanProgress, Failure):
            facts.drop(stale)
        facts.drop_work()
        reads, published = self._context.store.record_reads, self._context.store.live.published_repos()
        self._read.update(name for name in published if not reads.unread(name, time.time()))

    async def _keep_full_syncs_due(self) -> None:
        """Make a full sync due at every interval, and whenever the bell rings."""
        while True:
            try:
                await asyncio.wait_for(self._bell.wait(), self._context.config.mirror.full_sync_interval_s)
                self._bell.clear()
                self._is_asked = True
                log.info("asked", text="a full sync was asked for")
            except TimeoutError:
                pass
            self._make_full_sync_due()

    def _make_full_sync_due(self) -> None:
        self._is_full_due = True
        self._queue.wake()

    async def _give_signs_of_life(self) -> None:
        """Feed systemd's watchdog, and keep the metrics fresh."""
        every_s = min(notify.watchdog_interval_s() or _METRICS_S, _METRICS_S)
        while True:
            notify.watchdog()
            notify.status(self._outage.reason or f"following {self._context.config.packrat.url}")
            await in_thread(collect, self._context.config)
            await asyncio.sleep(every_s)

    async def _stay_connected(self) -> None:
        while True:
            try:
                async with connected(self._context.config, self._login) as server:
                    await self._attend(server)
            except PackratError as error:
                self._outage.note(error)
                asked_s = error.wait_s if isinstance(error, ServerUnavailable) else 0.0
                await asyncio.sleep(_BACK_OFF.delay_s(self._outage.failures, asked_s))

    async def _attend(self, server: Packrat) -> None:
        """Hear what changes, and work, until either fails."""
        tasks = [
            asyncio.ensure_future(follow(server, lambda: tuple(self._repos.values()), self._hear)),
            asyncio.ensure_future(self._work(server)),
            asyncio.ensure_future(self._checks.run(server)),
        ]
        self._queue.add({}, mirror=True)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _hear(self, news: News) -> None:
        if news.history_lost:
            reason = "the server does not know what changed since: it may have been restored"
            self._context.store.record_reads.distrust(time.time(), reason)
        if news.was_away:
            self._checks.check_again()
        self._queue.hear(news.repos, mirror=news.mirror)
        # From here on the full syncs ask for no further records until these changes are published.
        ready = self._queue.ready(self._workers.busy(Lane.CHANGE) | self._blocked, self._named_only())
        self._context.turns.records.expect(ready)

    async def _work(self, server: Packrat) -> None:
        """Give the workers what there is to do, until one of them fails.

        Raises:
            PackratError: What stops all repositories.
        """
        self._queue.wake()
        try:
            while True:
                await self._queue.wait()
                error = self._workers.take_error()
                if isinstance(error, DiskError):
                    # The server is well, so the connection stays; the work is tried again when the disk may be, too.
                    self._outage.note(error)
                    self._paused_until = time.monotonic() + _BACK_OFF.delay_s(self._outage.failures)
                    asyncio.get_running_loop().call_later(self._paused_until - time.monotonic(), self._queue.wake)
                elif error is not None:
                    raise error
                if time.monotonic() >= self._paused_until:
                    self._start_work(server)
        finally:
            await self._workers.stop()
            # An error of the disk that comes with the end is met again.
            self._workers.take_error()
            self._context.turns.records.expect_nothing()

    def _start_work(self, server: Packrat) -> None:
        """Start a worker for each piece of work that need not wait."""
        workers = self._workers
        if not workers.busy(Lane.MIRROR) and (step := self._next_step(server)) is not None:
            workers.start(Lane.MIRROR, step)
        if self._is_looking_first:
            return
        while (work := self._queue.take(workers.busy(Lane.CHANGE) | self._blocked, self._named_only())) is not None:
            self._context.turns.records.expect([work[0]])
            # What stops it is not the repository's fault: the work comes back.
            workers.start(Lane.CHANGE, self._sync_change(server, *work), work[0], partial(self._queue.put_back, *work))
        while len(workers.busy(Lane.FULL)) < AT_ONCE:
            due = self._queue.take_due(workers.busy(Lane.FULL) | self._blocked)
            if due is None:
                break
            workers.start(Lane.FULL, self._sync_in_full(server, *due), due[0], partial(self._queue.put_back, *due))
        if self._heartbeat.is_due:
            workers.start(Lane.HEALTH, self._heartbeat.beat(server))

    def _named_only(self) -> frozenset[str]:
        """The repositories of which only named packages are synced now; nothing else is listed."""
        if len(self._workers.busy(Lane.CHANGE)) >= _LISTED_AT_ONCE:
            return frozenset(self._repos)
        # A full sync reads them for the first time, or is about to.
        return (self._queue.due | self._workers.busy(Lane.FULL)) - self._read

    def _next_step(self, server: Packrat) -> Coroutine[Any, Any, None] | None:
        """The next step for the mirror as a whole."""
        full = self._full
        if self._is_full_due and full is None:
            return self._begin_full_sync(server)
        if self._queue.take_mirror():
            return self._ask_mirror(server)
        if full is None or self._queue.due or self._workers.busy(Lane.FULL) or full.to_mend.intersection(self._repos):
            return None
        is_over = (full.is_looked or self._look.is_over) and self._checks.are_over
        return self._end_full_sync(server, full) if is_over else None

    async def _ask_mirror(self, server: Packrat) -> None:
        """Look at the mirror's own record, which may have changed."""
        confirmed = self._full.confirmed if self._full is not None else NOTHING_CONFIRMED
        try:
            view = await ask_mirror(self._context, server)

            async def keep() -> None:
                async with self._context.turns.publishing:
                    await in_thread(keep_repos, self._context, view, confirmed)

            await self._take_repos(view, keep)
        except BaseException:
            self._queue.add({}, mirror=True)
            raise

    async def _take_repos(self, view: MirrorView, keep: Callable[[], Awaitable[None]]) -> None:
        """Queue the repositories that are new or changed, and show on the site which there are.

        Args:
            view: The mirror as the server describes it.
            keep: Writes it down. No worker works on a repository that it forgets or changes.
        """
        repos = {repo.name: repo for repo in view.repos}
        changed = [name for name, repo in repos.items() if self._repos.get(name) != repo]
        self._blocked = frozenset(changed) | (self._repos.keys() - repos.keys())
        try:
            await self._workers.stop(self._blocked)
            await keep()
            async with self._context.turns.publishing:
                await in_thread(keep_site, self._context)
            self._repos = repos
            self._queue.add(dict.fromkeys(changed))
        finally:
            self._blocked = frozenset()
            self._queue.wake()

    async def _sync_change(self, server: Packrat, name: str, order: Order) -> None:
        """Sync a repository of which something changed; what a full sync has to mend is done as its step.

        Raises:
            ServerUnavailable: This, LoginRefused and DiskError stop all repositories.
        """
        repo, full = self._repos.get(name), self._full
        try:
            if repo is None:
                # It has left the mirror since.
                return
            if full is not None and name in full.to_mend:
                result = await full.sync_repo(server, repo, order)
            else:
                whole = replace(order, untracked=full.untracked if full else {})
                result = await sync_and_note(self._context, server, repo, whole, Summary(), self._on_progress)
        finally:
            self._context.turns.records.served(name)
        self._note(name, order, result)

    async def _sync_in_full(self, server: Packrat, name: str, order: Order) -> None:
        """Sync all of a repository; during a full sync, as its step.

        Raises:
            ServerUnavailable: This, LoginRefused and DiskError stop all repositories.
        """
        repo, full = self._repos.get(name), self._full
        if repo is None:
            return
        if full is None:
            # Records that were trusted are to be read again.
            result = await sync_and_note(self._context, server, repo, order, Summary(), self._on_progress)
        else:
            result = await full.sync_repo(server, repo, order)
        if result is not None:
            self._read.add(name)
        self._note(name, order, result)

    def _note(self, name: str, order: Order, result: SyncResult | None) -> None:
        published = result is not None and bool(result.publications)
        self._queue.note(name, failed=result is None or bool(result.failed), published=published)
        if result is not None:
            self._checks.note_sync(name, order)

    async def _begin_full_sync(self, server: Packrat) -> None:
        """Ask for the mirror and queue all of it; what could not begin stays due, with what the operator confirmed.

        Raises:
            PackratError: The server doesn't answer, or the disk fails.
        """
        self._is_full_due = False
        try:
            await server.renew_login()
            self._take_confirmed()
            full = FullSync(self._context, self._confirmed, self._on_progress)
            view = await full.ask(server)
            look_first = await in_thread(is_looked_at_first, self._context)
            if look_first:
                self._is_looking_first = True
                await full.look()
            await self._take_repos(view, lambda: full.keep_repos(view))
        except BaseException:
            self._is_full_due = True
            raise
        finally:
            self._is_looking_first = False
        self._full = full
        self._checks.begin(time.time() if self._is_asked else None)
        self._is_asked = False
        self._queue.add_due(self._repos)
        if not look_first:
            self._look.start()

    def _take_confirmed(self) -> None:
        taken = take_confirmed(self._context.config.mirror.state_db)
        before = self._confirmed
        self._confirmed = Confirmed(before.removals or taken.removals, before.clock or taken.clock)

    async def _end_full_sync(self, server: Packrat, full: FullSync) -> None:
        """Queue what the look found damaged; once that is mended, finish.

        Raises:
            PackratError: The look failed, and the full sync is given up, to begin anew; or it can't be finished yet.
        """
        if not full.is_looked:
            try:
                seen = self._look.take()
            except DiskError:
                self._full = None
                asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._make_full_sync_due)
                raise
            await full.note(seen)
            damaged = full.to_mend.intersection(self._repos)
            if damaged:
                # They are synced first; what changed meanwhile, too.
                self._queue.add(dict.fromkeys(damaged))
                return
        await full.finish(server)
        self._full, self._confirmed = None, NOTHING_CONFIRMED
        settle()
        summary = full.summary
        removed = len(summary.collected)
        is_late = summary.seconds > self._context.config.mirror.full_sync_interval_s
        fields = {"seconds": f"{summary.seconds:.1f}", "repositories": len(self._repos), "removed": removed}
        if is_late:
            log.warning("checked", **fields, text=_TOO_LONG)
        else:
            log.info("checked", **fields)
