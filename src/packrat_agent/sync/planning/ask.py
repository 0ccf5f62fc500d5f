"""Asks the server which files a repository wants: the first step of its sync.

1. The server lists URIs; a long list goes to disk as it comes. Records that are known already are not read again,
   unless they are distrusted. Where clients of the repository know yanked files, deprecated ones are listed, too, and
   marked.
2. What is read is remembered a few portions at a time, so that a sync that dies goes on about where it was; one that
   fails or is cancelled remembers all that it has read.
3. For a small change, the server has already sent the files with their records: all of the packages, or those that it
   touched. Then the sync asks nothing. Records that the rehearsal of a takeover has just read are not asked for,
   either.
4. A list that differs from what is known is a change; from that moment on the repository is behind the server.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import PackageFile, Rejection, Repo, Wanted
from packrat_agent.state.file_rows import about
from packrat_agent.state.listed_uris import Listing
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.planning.places import places_of
from packrat_agent.sync.repo_work import WorkNotes
from packrat_agent.upstream.changed_records import ChangedRecords
from packrat_agent.upstream.client import Packrat, Which
from packrat_agent.upstream.package_files import RECORDS_AT_ONCE, OnRead, Rejected, Unread, reject_uri
from packrat_core.aio.threads import in_thread
from packrat_core.cinp.listing import Sink
from packrat_core.errors import PackratError

_NOTED_TOGETHER = 16 * RECORDS_AT_ONCE
"""Number of records stored with one write, which changes hardly more of the state database than a write of a few.

With a quarter of it, the records of 100,000 debs take twice as many bytes on disk to write.
"""

Alone = Callable[[], AbstractAsyncContextManager[None]]
"""Makes a context in which no other sync of a repository goes on."""


async def ask_wanted(
    repo: Repo, order: Order, server: Packrat, context: MirrorContext, work: WorkNotes, alone: Alone
) -> Wanted:
    """Ask which files a repository wants.

    Args:
        repo: The repository.
        order: Of which packages.
        server: The server to ask.
        context: The mirror: what is known, and whose turn it is.
        work: Takes how far it has come.
        alone: Makes a context in which no other sync of the repository goes on.

    Raises:
        PackratError: The server does not answer, or refuses the request; the disk fails.
    """
    if order.packages is not None and not order.packages:
        return Wanted(frozenset(), (), ())
    asked_at, received = time.time(), server.changed_packages.take(repo.name, order.packages)
    compared = None
    if received is not None:
        compared = await in_thread(
            _compare_received, received, repo, order, context, asked_at, marks=_marks(repo, server)
        )
    if compared is None:
        received, answer = None, await _list_all(repo, order, server, context)
        compared = await in_thread(_find_differences, answer, repo, order, context, asked_at)
    listing, yanked = compared.answer.listing, compared.answer.yanked
    files, notes = list(compared.files), _Notes(repo, received.asked_at if received else asked_at, context, alone)
    work.read(listing.unread_count, compared.new)

    async def remember(read: Sequence[PackageFile], left: int) -> None:
        if context.dry_run:
            # A dry run remembers nothing, not even the repository that the records are of.
            files.extend(read)
            order.rehearsed.note_records(repo.name, read)
        else:
            await notes.add(read)
        work.read(left, min(compared.new - notes.new, left))

    async with notes:
        await _in_portions(compared.rehearsed, remember, listing.unread_count)
        turn = partial(context.turns.records.one, urgent=not order.reread)
        unread = Unread(listing.unread_count, listing.portions(RECORDS_AT_ONCE, unread=True))
        await server.read_unread(unread, compared.rejected, remember, turn, received)
    rejected = compared.rejected.all()
    return Wanted(listing, _mark(files, yanked), rejected, yanked, compared.names_all_known, compared.answer.touched)


def _mark(files: Sequence[PackageFile], yanked: Collection[str] | None) -> tuple[PackageFile, ...]:
    if yanked is None:
        return tuple(files)
    return tuple(replace(file, yanked=True) if file.uri in yanked else file for file in files)


async def _in_portions(records: Sequence[PackageFile], take: OnRead, left: int) -> None:
    for start in range(0, len(records), RECORDS_AT_ONCE):
        await take(records[start : start + RECORDS_AT_ONCE], left)


class _Notes:
    """Remembers the records that are read, all of them at the latest at the end of the context.

    new: how many of those that were remembered are of files that were not known.
    """

    def __init__(self, repo: Repo, asked_at: float, context: MirrorContext, alone: Alone) -> None:
        """Begin with none.

        Args:
            repo: The repository.
            asked_at: When the server was asked.
            context: The mirror.
            alone: Makes a context in which no other sync of the repository goes on.
        """
        self._note = partial(_note, repo, asked_at=asked_at, context=context, alone=alone)
        self._waiting: list[PackageFile] = []
        self.new = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        try:
            await self._write()
        except PackratError:
            # A disk error must not take the place of a cancellation.
            if error is None:
                raise

    async def add(self, read: Sequence[PackageFile]) -> None:
        """Take a portion."""
        self._waiting += read
        if len(self._waiting) >= _NOTED_TOGETHER:
            await self._write()

    async def _write(self) -> None:
        together, self._waiting = self._waiting, []
        if together:
            self.new += await self._note(together)


async def _note(repo: Repo, read: Sequence[PackageFile], asked_at: float, context: MirrorContext, alone: Alone) -> int:
    """Remember records, and where their files go; gives how many are of files that were not known."""
    store = context.store

    def note() -> int | None:
        # Adding the places to the rows later would take longer than writing the rows.
        places = places_of(repo, FORMATS[repo.kind], read, context.kept)
        return store.record_reads.note_unless_other(repo.name, read, asked_at, places)

    new = await in_thread(note)
    if new is not None:
        return new
    # A change that begins between the two would add the URI's new file to an index that still has the former one. The
    # revision comes first, so that it is counted even if this is broken off.
    async with alone():
        store.revisions.advance(repo.name)
        return await in_thread(store.record_reads.note, repo.name, read, asked_at)


def _marks(repo: Repo, server: Packrat) -> bool | None:
    """Tell whether the server lists which files of a repository are yanked; None where its clients know none."""
    return server.has_kept if FORMATS[repo.kind].has_yanked else None


async def _list_all(repo: Repo, order: Order, server: Packrat, context: MirrorContext) -> "_Answer":
    marks = _marks(repo, server)
    list_files = partial(_list, repo, order, server, context)
    listing = await list_files(Which.KEPT if marks else Which.WANTED)
    # In this order a file that is deprecated, or no longer, between the two answers is in the first all the same.
    return _Answer(listing, await list_files(Which.DEPRECATED) if marks else _none_yanked(marks), None)


def _none_yanked(marks: bool | None) -> Collection[str] | None:
    return None if marks is None else frozenset()


async def _list(repo: Repo, order: Order, server: Packrat, context: MirrorContext, which: Which) -> Listing:
    listing, expected = context.store.new_listing(), 0
    if which is not Which.DEPRECATED:
        expected = await in_thread(context.store.wanted.count, repo.name, order.packages)
    sink = Sink(listing.clear, lambda uris: in_thread(listing.add, uris), expected)
    await server.list_wanted_into(sink, repo, order.packages, which)
    return listing


@dataclass(frozen=True, slots=True)
class _Compared:
    """How a listing differs from what is known.

    names_all_known: Whether each known file of the whole repository is listed. new: The number of files to read that
    are not known. files: The trusted records, in a dry run. rehearsed: Those that a rehearsal has read.
    """

    answer: "_Answer"
    names_all_known: bool
    new: int
    rejected: Rejected
    files: Sequence[PackageFile]
    rehearsed: Sequence[PackageFile]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server lists, which of it is yanked, and the files that this is about, as in `Wanted`."""

    listing: Listing
    yanked: Collection[str] | None
    touched: frozenset[str] | None


def _compare_received(
    received: ChangedRecords, repo: Repo, order: Order, context: MirrorContext, asked_at: float, *, marks: bool | None
) -> _Compared | None:
    """Compare the records that came with the change, unless they have become doubtful since.

    Args:
        received: The records.
        repo: The repository.
        order: Of which packages.
        context: The mirror.
        asked_at: When the sync began to ask.
        marks: Whether the server lists which files are yanked; None where clients of the repository know none.
    """
    reads = context.store.record_reads
    if not reads.is_trusted(received.asked_at):
        return None
    # What the server says of one package takes no file of another.
    named = frozenset(order.packages or ())
    if received.touched is not None and not reads.packages_of(repo.name, received.touched) <= named:
        return None
    listing = context.store.new_listing()
    listing.add((*received.wanted, *received.deprecated) if marks else tuple(received.wanted))
    answer = _Answer(listing, frozenset(received.deprecated) if marks else _none_yanked(marks), received.touched)
    return _find_differences(answer, repo, order, context, asked_at)


def _find_differences(answer: _Answer, repo: Repo, order: Order, context: MirrorContext, asked_at: float) -> _Compared:
    """Mark what must be read, and look for what differs; if anything does, the repository is behind."""
    store, reads, rejected = context.store, context.store.record_reads, Rejected()
    listing, some = answer.listing, about(order.packages, answer.touched)
    # What can't be used may be usable to a newer agent, so a full sync tries it again.
    unusable: Mapping[str, str] = {} if order.reread else store.rejections.known(repo.name)
    read_before = order.rehearsed.take_records(repo.name)
    files: list[PackageFile] = []
    rehearsed: list[PackageFile] = []
    new = known_count = 0
    is_change, is_trusted = False, not context.dry_run
    for portion in listing.portions():
        # Counting costs less than reading; where nothing of the last portion was trusted, the next is not tried.
        if is_trusted and reads.are_trusted(repo.name, portion, asked_at):
            known_count += len(portion)
            continue
        known = reads.known_among(repo.name, portion, asked_at)
        is_trusted = any(known.values()) and not context.dry_run
        known_count += len(known)
        unread: list[str] = []
        for uri in portion:
            if known.get(uri):
                continue
            is_change = is_change or (uri not in known and uri not in unusable)
            rejection = Rejection(uri, unusable[uri]) if uri in unusable else reject_uri(uri)
            if rejection is not None:
                rejected.add(rejection)
                continue
            new += uri not in known
            if uri in read_before:
                rehearsed.append(read_before[uri])
            else:
                unread.append(uri)
        listing.mark_unread(unread)
        if context.dry_run:
            files += reads.read_among(repo.name, [uri for uri in portion if known.get(uri)])
    # Each known file that is listed was counted once, so any other is gone.
    is_any_gone = known_count < store.wanted.count(repo.name, some)
    if is_change or is_any_gone or store.wanted.are_marks_other(repo.name, some, answer.yanked):
        store.facts.note_behind(repo.name, order.heard_at or asked_at)
    return _Compared(answer, order.packages is None and not is_any_gone, new, rejected, files, rehearsed)
