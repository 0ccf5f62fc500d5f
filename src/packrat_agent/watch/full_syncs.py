"""Begins a full sync when one is due, and ends it when all its parts are over.

A full sync goes on beside the changes: its repositories are in the work queue, its look at the disk has a thread, and
the record checks take their time. It outlives a lost connection, and there is only one at a time.
"""

import asyncio
import time
from typing import Self

import structlog

from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed
from packrat_agent.publish.claim import take_confirmed
from packrat_agent.sync.clock_check import check_clock
from packrat_agent.sync.context import MirrorContext, Progress
from packrat_agent.sync.disk_look import is_looked_at_first
from packrat_agent.sync.full_sync import FullSync
from packrat_agent.sync.keys.find_keys import are_renewed
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.background_look import BackgroundLook
from packrat_agent.watch.memory import settle
from packrat_agent.watch.mirror_repos import MirrorRepos
from packrat_agent.watch.record_checks import RecordChecks
from packrat_agent.watch.work_queue import WorkQueue
from packrat_core.aio.threads import in_thread
from packrat_core.errors import DiskError

log = structlog.get_logger()

_LOOK_AGAIN_S = 15.0
_TOO_LONG = "longer than full_sync_interval: raise that"


class FullSyncs:
    """The full syncs of one mirror; to be used as a context, at whose end a look at the disk is stopped."""

    def __init__(
        self,
        context: MirrorContext,
        queue: WorkQueue,
        repos: MirrorRepos,
        checks: RecordChecks,
        on_progress: Progress,
    ) -> None:
        self._context = context
        self._queue = queue
        self._repos = repos
        self._checks = checks
        self._on_progress = on_progress
        self._look = BackgroundLook(context, queue.wake)
        self._is_due = True
        self._is_asked = False
        self._confirmed = NOTHING_CONFIRMED
        self.current: FullSync | None = None
        """The one under way; None between two of them, and until one could begin."""
        self.is_looking_first = False
        """Whether changes wait, since nothing may be downloaded before the disk was looked at."""
        self.has_failed_look = False
        """Whether the last look at the disk that ended failed."""

    def __enter__(self) -> Self:
        self._look.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._look.__exit__(*exception)

    async def keep_due(self, bell: asyncio.Event) -> None:
        """Make a full sync due at every interval, and whenever the bell rings; until the signing keys are renewed."""
        while True:
            try:
                # Not wait_for: in Python 3.11 it goes on where it is cancelled at the moment that the bell rings.
                async with asyncio.timeout(self._context.config.mirror.full_sync_interval_s):
                    await bell.wait()
                bell.clear()
                self._is_asked = True
                log.info("asked", text="a full sync was asked for")
            except TimeoutError:
                pass
            if await in_thread(are_renewed, self._context.config, self._context.keys):
                return
            self._make_due()

    @property
    def is_due(self) -> bool:
        """Whether a full sync is to begin."""
        return self._is_due and self.current is None

    @property
    def confirmed(self) -> Confirmed:
        """What the operator confirmed for the full sync under way."""
        return NOTHING_CONFIRMED if self.current is None else self.current.confirmed

    async def begin(self, server: Packrat) -> None:
        """Ask for the mirror and queue all of it; what could not begin stays due, with what the operator confirmed.

        Raises:
            PackratError: The server doesn't answer, or the disk fails.
        """
        self._is_due = False
        try:
            await server.renew_login()
            self._take_confirmed()
            full = FullSync(self._context, self._confirmed, self._on_progress)
            view = await full.ask(server)
            await in_thread(check_clock, self._context, server)
            # The heartbeat, which tells more, waits for the look, which may take hours.
            self._context.store.facts.note_answered()
            look_first = await in_thread(is_looked_at_first, self._context)
            if look_first:
                self.is_looking_first = True
                await full.look()
            await self._repos.take(view, lambda: full.keep_repos(view))
        except BaseException:
            self._is_due = True
            raise
        finally:
            self.is_looking_first = False
        self.current = full
        is_asked, self._is_asked = self._is_asked, False
        self._checks.begin(time.time() if is_asked else None)
        self._queue.add_due(self._repos)
        if not look_first:
            self._look.start(reads_everything=is_asked)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of the one under way: no repository, no look at the disk, no record check.

        The workers are not asked: the caller knows whether one of them still works on a repository of it.
        """
        full = self.current
        if full is None or self._queue.due or full.to_mend.intersection(self._repos):
            return False
        return (full.is_looked or self._look.is_over) and self._checks.are_over

    async def end(self, server: Packrat) -> None:
        """Queue what the look found damaged; once that is mended, finish.

        Raises:
            PackratError: The look failed, and the full sync is given up, to start over; or it can't be finished yet.
        """
        full = self.current
        assert full is not None
        if not full.is_looked:
            await self._note_look(full)
            damaged = full.to_mend.intersection(self._repos)
            if damaged:
                # They are synced first, and so is what changed in between.
                self._queue.add(dict.fromkeys(damaged))
                return
        await full.finish(server)
        self.current, self._confirmed = None, NOTHING_CONFIRMED
        settle()
        self._tell(full)

    def _make_due(self) -> None:
        self._is_due = True
        self._queue.wake()

    def _take_confirmed(self) -> None:
        """Add what the operator confirmed to what was confirmed for a full sync that could not begin."""
        taken = take_confirmed(self._context.config.mirror.state_db)
        before = self._confirmed
        self._confirmed = Confirmed(before.removals or taken.removals, before.clock or taken.clock)

    async def _note_look(self, full: FullSync) -> None:
        try:
            seen = self._look.take()
        except DiskError:
            self.current, self.has_failed_look = None, True
            asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._make_due)
            raise
        self.has_failed_look = False
        await full.note(seen)

    def _tell(self, full: FullSync) -> None:
        summary = full.summary
        removed = len(summary.collected)
        fields = {"seconds": f"{summary.seconds:.1f}", "repositories": len(self._repos), "removed": removed}
        if summary.seconds > self._context.config.mirror.full_sync_interval_s:
            log.warning("checked", **fields, text=_TOO_LONG)
        else:
            log.info("checked", **fields)
