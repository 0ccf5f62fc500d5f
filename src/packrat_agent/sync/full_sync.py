"""A full sync of a mirror, as one sequence of steps.

1. `ask` the server for the mirror and its repositories.
2. `look` at every file on disk, or let that go on beside the next steps and `note` it when it is over.
3. `keep_repos`: remember which repositories the mirror has, and publish the site with the public key.
4. `sync_repo`, for each repository; several at a time.
5. `finish`: publish the site again, collect garbage, tell the server, and note how it went.

`sync` takes the steps at once; the running agent takes them in between changes:

    summary = await FullSync(context, confirmed, on_progress).run(server)

A dry run takes the same steps and writes nothing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from packrat_agent.model.changes import Confirmed
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.state.facts import LastFullSync
from packrat_agent.sync.clock_check import check_clock
from packrat_agent.sync.collect import collect
from packrat_agent.sync.context import MirrorContext, Order, Progress, Summary, SyncResult
from packrat_agent.sync.disk_look import Look, find_untracked, look, look_without_a_touch, note_look
from packrat_agent.sync.keys.kept_key import note_keys
from packrat_agent.sync.keys.refuse_to_unsign import refuse_to_unsign_found
from packrat_agent.sync.known_repos import ask_mirror, find_leaving, keep_repos, tell_leaving
from packrat_agent.sync.landing.site import keep_site, publish_site
from packrat_agent.sync.lost_state import recall_suites
from packrat_agent.sync.noted_sync import sync_and_note
from packrat_agent.sync.takeover.losses import (
    begin_with_suites,
    find_changed_names,
    find_chores,
    find_losses,
    find_removed,
)
from packrat_agent.sync.takeover.read_at_hand import read_as_hashed
from packrat_agent.sync.takeover.rehearsed import Rehearsed
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread
from packrat_core.aio.workers import run_workers
from packrat_core.errors import ServerBroken, ServerRefused

log = structlog.get_logger()

_EVERYTHING = Order(None, reread=True)

AT_ONCE = 4
"""Number of repositories that a full sync works on at a time; each holds in memory what its index names."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The part of a rehearsal that the takeover uses, so that nothing is done twice.

    seen: its look at the disk; None where a sync may see more, as it opens closed directories.
    """

    seen: Look | None
    rehearsed: Rehearsed


async def sync(
    context: MirrorContext,
    server: Packrat,
    confirmed: Confirmed,
    on_progress: Progress,
    rehearsal: Rehearsal | None = None,
) -> Summary:
    """Do one full sync at once; in the context of a dry run, say what it would do.

    Args:
        context: The mirror.
        server: The server to ask.
        confirmed: What the operator confirms for this once.
        on_progress: Called with what was done since the last call.
        rehearsal: What `rehearse` gave a moment ago; None to look now.

    Raises:
        PackratError: The sync could not begin, or not go on; what stops one repository stands in the summary.
    """
    return await (DryRun if context.dry_run else FullSync)(context, confirmed, on_progress).run(server, rehearsal)


async def rehearse(
    context: MirrorContext, server: Packrat, confirmed: Confirmed, on_progress: Progress
) -> tuple[Summary, Rehearsal]:
    """Do a dry run before a takeover.

    Args:
        context: The mirror, in the context of a dry run.
        server: The server to ask.
        confirmed: What the operator confirms for this once.
        on_progress: Called with what was done since the last call.

    Returns:
        What a sync would do, and what this leaves to it.

    Raises:
        PackratError: As `sync`.
    """
    full = DryRun(context, confirmed, on_progress)
    full.rehearsed.position = await _find_position(server)
    summary = await full.run(server)
    seen = full.seen if full.seen is not None and not full.seen.found.directories.locked else None
    return summary, Rehearsal(seen, full.rehearsed)


async def _find_position(server: Packrat) -> str | None:
    """Ask for the server's position as it is now; None where it tells none."""
    try:
        return (await server.changes(None, 0)).position if server.has_changes else None
    except (ServerRefused, ServerBroken):
        # It may give the mirror and its files all the same; if not, the next question tells.
        return None


class FullSync:
    """The steps of one full sync, and what is known from one step to the next; it outlives a connection."""

    def __init__(self, context: MirrorContext, confirmed: Confirmed, on_progress: Progress) -> None:
        self.summary = Summary()
        self.confirmed = confirmed
        self.untracked: Mapping[str, StoredFile] = {}
        """Files to adopt; none where the look goes on beside the syncs, since it may be overtaken by them."""
        self.rehearsed = Rehearsed()
        self.to_mend: set[str] = set()
        """Repositories, or the site, in which the look found damage and that were not synced since."""
        self._context = context
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._seen: Look | None = None

    async def run(self, server: Packrat, rehearsal: Rehearsal | None = None) -> Summary:
        """Take all steps at once; what a rehearsal has looked at and read is not looked at or read again.

        Raises:
            PackratError: What stops all repositories.
        """
        # Before the look, which may take hours: a login that is refused is told at once.
        view = await self.ask(server)
        # Somebody who starts a sync wants to be sure: nothing that was read earlier counts.
        await in_thread(self._context.store.record_reads.distrust, time.time())
        await in_thread(self._context.store.facts.drop_work)
        await in_thread(self._context.store.facts.drop_side_faults)
        await in_thread(check_clock, self._context, server)
        if rehearsal is not None:
            self.rehearsed = rehearsal.rehearsed
            self.rehearsed.keep_records(await _find_position(server))
        if rehearsal is None or rehearsal.seen is None:
            await self.look()
        else:
            await self._take_look(rehearsal.seen)
        await self.keep_repos(view)
        await self._sync_repos(server, view.repos)
        await self.finish(server)
        return self.summary

    async def ask(self, server: Packrat) -> MirrorView:
        """Ask for the mirror and its repositories, and tell which of these records can't be used.

        Raises:
            PackratError: The server doesn't answer, or refuses to.
        """
        view = await ask_mirror(self._context, server, self.confirmed)
        self.summary.rejected += [f"{rejection.record}: {rejection.reason}" for rejection in view.rejected]
        return view

    async def look(self) -> None:
        """Look at every file on disk now, so that nothing is downloaded that is there already.

        Raises:
            DiskError: root_dir can't be read, or the state database can't be written.
        """
        await self._take_look(await in_thread(look, self._context, self._count))

    async def note(self, seen: Look) -> None:
        """Remember what a look found; what is damaged stands in `to_mend`.

        Raises:
            DiskError: The state database can't be written.
        """
        async with self._context.turns.publishing:
            self.to_mend.update(await in_thread(note_look, self._context, seen))
        self._seen = seen

    @property
    def seen(self) -> Look | None:
        """The look at the disk, once it is over."""
        return self._seen

    @property
    def is_looked(self) -> bool:
        """Whether the look at the disk is over, and noted."""
        return self._seen is not None

    async def keep_repos(self, view: MirrorView) -> None:
        """Remember which repositories the mirror has, except those that leave suspiciously, and show them on the site.

        Raises:
            SigningError: Signed repositories on disk would be published without signatures.
            DiskError: The state database or root_dir can't be written.
        """
        self._refuse_to_unsign(view)
        async with self._context.turns.publishing:
            self.summary.syncs += await in_thread(keep_repos, self._context, view, self.confirmed)
            if self._context.takeover is not None:
                await in_thread(begin_with_suites, self._context, view.repos, self.untracked)
            elif self._seen is not None and self._seen.is_first:
                await in_thread(recall_suites, self._context, view.repos, self.untracked)
            # The key is there before the first index that it signs, also on a disk that the packages fill.
            await in_thread(publish_site, self._context)

    async def sync_repo(self, server: Packrat, repo: Repo, order: Order = _EVERYTHING) -> SyncResult | None:
        """Sync one repository, by default all of it.

        Args:
            server: The server to ask.
            repo: The repository.
            order: What to do.

        Raises:
            ServerUnavailable: This, LoginRefused and DiskError stop all repositories.
        """
        order = replace(order, confirmed=self.confirmed, untracked=self.untracked, rehearsed=self.rehearsed)
        # What the look finds damaged while this goes on is mended by a later sync.
        mends = repo.name in self.to_mend and order.packages is None
        result = await sync_and_note(self._context, server, repo, order, self.summary, self._on_progress)
        if mends:
            self.to_mend.discard(repo.name)
        return result

    async def finish(self, server: Packrat) -> None:
        """Publish the site, collect garbage, tell the server that the mirror is alive, and note how it went.

        Raises:
            PackratError: The disk fails, or the server doesn't answer.
        """
        assert self._seen is not None
        async with self._context.turns.publishing:
            await in_thread(keep_site, self._context)
        self.summary.collected = await collect(self._context, self._seen, self.summary)
        await server.heartbeat()
        self.summary.seconds = time.monotonic() - self._started
        await in_thread(_note_full_sync, self._context, self._seen, self.summary)

    def _refuse_to_unsign(self, view: MirrorView) -> None:
        """Raises: SigningError if signed repositories that are only known from the disk would lose their signatures."""
        if self._seen is not None and self._seen.is_first:
            refuse_to_unsign_found(self._context, view.repos, self.untracked)

    async def _sync_repos(self, server: Packrat, repos: Sequence[Repo]) -> None:
        """Sync the repositories, each in a worker of its own.

        Raises:
            PackratError: What stops all repositories.
        """
        waiting = list(reversed(repos))

        async def work() -> None:
            while waiting:
                await self.sync_repo(server, waiting.pop())

        await run_workers(work, min(AT_ONCE, len(repos)))
        order = {repo.name: number for number, repo in enumerate(repos)}
        self.summary.syncs.sort(key=lambda result: order.get(result.repo, -1))

    async def _take_look(self, seen: Look) -> None:
        await self.note(seen)
        self.untracked = {file.path: file for file in seen.found.untracked}

    def _count(self, files: int, size: int) -> None:
        self._on_progress("checking", files, size)


class DryRun(FullSync):
    """A full sync that says what it would do; it touches nothing and tells the server nothing."""

    _view: MirrorView

    async def ask(self, server: Packrat) -> MirrorView:
        """Ask as a sync does; the look knows from it what the files on disk are."""
        self._view = await super().ask(server)
        return self._view

    async def look(self) -> None:
        """Look at the disk as it is; root_dir need not exist."""
        context = self._context
        reading = None if context.takeover is None else read_as_hashed(self._view.repos, context, self.rehearsed)
        self._seen = seen = await in_thread(look_without_a_touch, context, self._count, reading)
        self.summary.unremembered = bool(seen.found.untracked) and seen.is_first
        self.untracked = {file.path: file for file in seen.found.untracked}

    async def keep_repos(self, view: MirrorView) -> None:
        """Tell which repositories would stay though the server doesn't name them."""
        self._refuse_to_unsign(view)
        leaving = find_leaving(self._context, view, self.confirmed)
        self.summary.syncs += tell_leaving(self._context, leaving)

    async def finish(self, server: Packrat) -> None:
        """Name what would be removed, and what clients would lose by a takeover."""
        assert self._seen is not None
        adopted = {path for result in self.summary.syncs for path in result.adopted}
        untracked = find_untracked(self._context, self._seen.found)
        self.summary.collected = [path for path in untracked if path not in adopted]
        if self._context.takeover is not None or self.summary.unremembered:
            self.summary.collected = find_removed(self._view, self.summary, self.untracked, self.summary.collected)
        if self._context.takeover is not None:
            await in_thread(self._tell_takeover)
        self.summary.seconds = time.monotonic() - self._started

    def _tell_takeover(self) -> None:
        context, summary, view = self._context, self.summary, self._view
        summary.losses = find_losses(context, view, summary, self.untracked)
        summary.changes = find_changed_names(context, view, self.untracked)
        summary.notes = find_chores(view, self.untracked)


def _note_full_sync(context: MirrorContext, seen: Look, summary: Summary) -> None:
    """Remember how a full sync went, for `status`."""
    note_keys(context, at_start=False, is_published=not (summary.errors or summary.rejected))
    context.store.facts.write(
        LastFullSync(
            began=seen.began,
            ended=time.time(),
            seconds=summary.seconds,
            files=seen.found.files,
            bytes=seen.found.read_bytes,
            damaged=len(seen.found.damaged),
            foreign=len(find_untracked(context, seen.found)),
            complete=summary.complete,
        )
    )
