"""The running agent: hears what changes on the server, syncs what changed, and does a full sync at every interval.

    await Agent(context, on_progress, bell).run()       # until it is cancelled, or the signing keys are renewed

1. One task hears what changes and puts it into the work queue; another gives it to the workers (`dispatcher`).
2. A full sync is due at the start, at every interval and when the bell rings (`full_syncs`).
3. An error that stops all repositories alike ends the connection, and everything goes on after a delay that grows.
"""

import asyncio
import os
import socket
import time
from functools import partial

import structlog

from packrat_agent.config.version import describe_version
from packrat_agent.state.facts import Failure, ScanProgress, Started
from packrat_agent.state.unwritten import UnwrittenMark
from packrat_agent.status.prometheus import collect, keep_metrics_served
from packrat_agent.sync.context import MirrorContext, Progress
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_agent.upstream.login import LoginState
from packrat_agent.watch import systemd as notify
from packrat_agent.watch.changes import hear_news
from packrat_agent.watch.disk_watch import WATCH
from packrat_agent.watch.dispatcher import Dispatcher
from packrat_agent.watch.landing_page import keep_page
from packrat_agent.watch.news import News
from packrat_agent.watch.outage_log import OutageLog
from packrat_core import __version__
from packrat_core.aio.threads import in_thread
from packrat_core.errors import PackratError, ServerUnavailable

log = structlog.get_logger()

_METRICS_S = 10.0


class Agent:
    """Follows the server until it is stopped."""

    def __init__(self, context: MirrorContext, on_progress: Progress, bell: asyncio.Event) -> None:
        """Prepare to follow the server of a mirror; `bell` asks for a full sync now."""
        self._context = context
        self._bell = bell
        self._login = LoginState(context.fault_log.login)
        unwritten = UnwrittenMark(context.config.mirror.state_db)
        self._outage = OutageLog(context.store, context.config.packrat.url, unwritten)
        self._dispatcher = Dispatcher(context, self._outage, on_progress)

    async def run(self) -> None:
        """Follow the server until cancelled: everything at the start and every interval, changes as they come.

        It ends by itself where the keyring has renewed signing keys, to be started again with these.
        """
        self._note_start()
        tell_of_port = partial(self._context.fault_log.beside, "metrics", "metrics_listen")
        loop, repos, full_syncs = asyncio.get_running_loop(), self._dispatcher.repos, self._dispatcher.full_syncs

        def read_all_again() -> None:
            # It is called in threads, since syncs and record checks write there.
            loop.call_soon_threadsafe(repos.read_all_again)

        self._context.store.record_reads.on_distrust = read_all_again
        with full_syncs:
            renewed = asyncio.ensure_future(full_syncs.keep_due(self._bell))
            following = asyncio.ensure_future(self._stay_connected())
            signs = asyncio.ensure_future(self._give_signs_of_life())
            side_tasks = [
                asyncio.ensure_future(keep_page(self._context)),
                asyncio.ensure_future(keep_metrics_served(self._context.config, tell_of_port)),
            ]
            notify.ready()
            try:
                done, _ = await asyncio.wait((renewed, following, signs), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (renewed, following, signs, *side_tasks):
                    task.cancel()
                await asyncio.gather(renewed, following, signs, *side_tasks, return_exceptions=True)

    def _note_start(self) -> None:
        config, facts = self._context.config, self._context.store.facts
        log.info("started", version=__version__, server=config.packrat.url, mirror=config.packrat.name)
        facts.write(Started(os.getpid(), socket.gethostname(), time.time(), __version__, describe_version(config)))
        facts.expect_server(config.packrat.url)
        for stale in (ScanProgress, Failure):
            facts.drop(stale)
        facts.drop_work()
        facts.drop_side_faults()
        self._dispatcher.repos.note_start()

    async def _give_signs_of_life(self) -> None:
        """Feed systemd's watchdog, and keep the metrics fresh."""
        every_s = min(notify.watchdog_interval_s() or _METRICS_S, _METRICS_S)
        while True:
            notify.watchdog()
            notify.status(self._outage.reason or WATCH.reason or f"following {self._context.config.packrat.url}")
            self._context.fault_log.beside("metrics", "metrics_file", await in_thread(collect, self._context.config))
            await asyncio.sleep(every_s)

    async def _stay_connected(self) -> None:
        while True:
            try:
                async with connected(self._context.config, self._login) as server:
                    await self._attend(server)
            except PackratError as error:
                self._outage.note(error)
                asked_s = error.wait_s if isinstance(error, ServerUnavailable) else 0.0
                await asyncio.sleep(self._outage.delay_s(asked_s))

    async def _attend(self, server: Packrat) -> None:
        """Hear what changes, and work, until either fails.

        Raises:
            PackratError: What ended the connection.
        """
        dispatcher = self._dispatcher
        tasks = [
            asyncio.ensure_future(hear_news(server, lambda: tuple(dispatcher.repos.values()), self._hear)),
            asyncio.ensure_future(dispatcher.work(server)),
            asyncio.ensure_future(dispatcher.checks.run(server)),
        ]
        dispatcher.queue.add({}, mirror=True)
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
            self._dispatcher.checks.check_again()
        self._dispatcher.queue.hear(news.repos, mirror=news.mirror)
        self._dispatcher.expect_changes()
