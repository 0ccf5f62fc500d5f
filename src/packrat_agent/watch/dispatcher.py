"""Gives the workers what there is to do: changes, the repositories of a full sync, and steps of the mirror itself.

1. One worker a repository and lane (`workers.Lane`), so a change never waits for the full sync of its repository.
2. An error of one repository is noted there, and comes back later. One that stops all repositories alike ends the
   connection, or pauses the work if it is the disk's; what was under way goes back into the queue.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from packrat_agent.sync.context import MirrorContext, Order, Progress, Summary, SyncResult
from packrat_agent.sync.fetch.staging import clear_staging, give_back_parts
from packrat_agent.sync.full_sync import AT_ONCE
from packrat_agent.sync.noted_sync import sync_and_note
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.full_syncs import FullSyncs
from packrat_agent.watch.heartbeat import Heartbeat
from packrat_agent.watch.mirror_repos import MirrorRepos
from packrat_agent.watch.outage_log import OutageLog
from packrat_agent.watch.record_checks import RecordChecks
from packrat_agent.watch.work_queue import WorkQueue
from packrat_agent.watch.workers import Lane, Workers
from packrat_core.aio.threads import in_thread
from packrat_core.errors import DiskError

_LISTED_AT_ONCE = 16
"""With this many changes at work, none is begun that names no packages: each holds its whole repository in memory."""


class Dispatcher:
    """Starts work as the queue has it, for as long as a connection lasts."""

    def __init__(self, context: MirrorContext, outage: OutageLog, on_progress: Progress) -> None:
        self._context = context
        self._outage = outage
        self._on_progress = on_progress
        self._paused_until = 0.0
        self.queue = WorkQueue()
        self._workers = Workers(self.queue.wake)
        self._heartbeat = Heartbeat(self._workers, outage, lambda: self.full_syncs.has_failed_look)
        self.checks = RecordChecks(context.store.record_reads, self.queue.wake)
        self.repos = MirrorRepos(context, self.queue, self._workers)
        self.full_syncs = FullSyncs(context, self.queue, self.repos, self.checks, on_progress)

    async def work(self, server: Packrat) -> None:
        """Give the workers what there is to do, until one of them fails.

        Raises:
            PackratError: What stops all repositories.
        """
        self.queue.wake()
        try:
            while True:
                await self.queue.wait()
                error = self._workers.take_error()
                if isinstance(error, DiskError):
                    # The server is well, so the connection stays; the work is tried again when the disk may be, too.
                    self._outage.note(error)
                    # The others go on: no repository may begin, and nothing be published, while staging is cleared.
                    async with self._context.turns.publishing:
                        with suppress(DiskError):
                            await in_thread(self._give_back_room)
                    self._pause(self._outage.delay_s())
                elif error is not None:
                    raise error
                if time.monotonic() >= self._paused_until:
                    self._start_work(server)
        finally:
            await self._workers.stop()
            # An error of the disk that comes with the end is met again.
            self._workers.take_error()
            self._context.turns.records.expect_nothing()

    def _give_back_room(self) -> None:
        """Remove from staging what is wanted no more, and on a full disk what is not complete.

        Raises:
            DiskError: It can't be read what that is.
        """
        staging, is_working = self._context.staging, self._context.turns.is_working
        clear_staging(staging, self._context.store.wanted.awaited(), is_working)
        give_back_parts(staging, is_working)

    def _pause(self, seconds: float) -> None:
        self._paused_until = time.monotonic() + seconds
        asyncio.get_running_loop().call_later(seconds, self.queue.wake)

    def _start_work(self, server: Packrat) -> None:
        """Start a worker for each piece of work that need not wait."""
        workers, queue = self._workers, self.queue
        if not workers.busy(Lane.MIRROR) and (step := self._next_step(server)) is not None:
            workers.start(Lane.MIRROR, step)
        if self.full_syncs.is_looking_first:
            return
        while (work := queue.take(self._busy(Lane.CHANGE), self._named_only())) is not None:
            self._context.turns.records.expect([work[0]])
            # What stops it is not the repository's fault: the work comes back.
            given = self._give(server, *work)
            workers.start(
                Lane.CHANGE, self._sync_change(server, work[0], given), work[0], partial(queue.put_back, *work)
            )
        while len(workers.busy(Lane.FULL)) < AT_ONCE:
            due = queue.take_due(self._busy(Lane.FULL))
            if due is None:
                break
            given = self._give(server, *due)
            workers.start(Lane.FULL, self._sync_in_full(server, due[0], given), due[0], partial(queue.put_back, *due))
        if self._heartbeat.is_due:
            workers.start(Lane.HEALTH, self._heartbeat.beat(server))

    def expect_changes(self) -> None:
        """Let full syncs ask for no further records until the changes that can be begun now are published."""
        self._context.turns.records.expect(self.queue.ready(self._busy(Lane.CHANGE), self._named_only()))

    def _busy(self, lane: Lane) -> frozenset[str]:
        """The repositories on which no work of a lane can be begun."""
        return self._workers.busy(lane) | self.repos.blocked

    def _named_only(self) -> frozenset[str]:
        """The repositories of which only named packages are synced now; nothing else is listed."""
        if len(self._workers.busy(Lane.CHANGE)) >= _LISTED_AT_ONCE:
            return frozenset(self.repos)
        return self._unread()

    def _unread(self) -> frozenset[str]:
        """The repositories that a full sync reads for the first time, or is about to."""
        return (self.queue.due | self._workers.busy(Lane.FULL)) - self.repos.read

    def _give(self, server: Packrat, name: str, order: Order) -> Order:
        """Add what is known when work is given out: the server's position, and whether more of the repository waits."""
        if name in self._unread():
            server.reports.doubt(name)
        rest_waits = order.packages is not None and self.queue.has_change(name)
        return replace(order, position=server.reports.position, rest_waits=rest_waits)

    def _next_step(self, server: Packrat) -> Coroutine[Any, Any, None] | None:
        """The next step for the mirror as a whole."""
        if self.full_syncs.is_due:
            return self.full_syncs.begin(server)
        if self.queue.take_mirror():
            return self.repos.ask(server, self.full_syncs.confirmed)
        if self.full_syncs.is_over and not self._workers.busy(Lane.FULL):
            return self.full_syncs.end(server)
        return None

    async def _sync_change(self, server: Packrat, name: str, order: Order) -> None:
        """Sync a repository of which something changed; what a full sync has to mend is done as its step.

        Raises:
            ServerUnavailable: This, LoginRefused and DiskError stop all repositories.
        """
        repo, full = self.repos.get(name), self.full_syncs.current
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
        repo, full = self.repos.get(name), self.full_syncs.current
        if repo is None:
            return
        if full is None:
            # Records that were trusted must be read again.
            result = await sync_and_note(self._context, server, repo, order, Summary(), self._on_progress)
        else:
            result = await full.sync_repo(server, repo, order)
        if result is not None:
            self.repos.read.add(name)
        self._note(name, order, result)

    def _note(self, name: str, order: Order, result: SyncResult | None) -> None:
        published = result is not None and bool(result.publications)
        self.queue.note(name, failed=result is None or bool(result.failed), published=published)
        if result is not None:
            self.checks.note_sync(name, order)
