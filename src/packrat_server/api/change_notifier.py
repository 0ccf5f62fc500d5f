"""Reads the journal once for all waiting requests, and wakes those that a change concerns.

1. A waiter names the repositories, and the mirror, whose changes it waits for, and the last entry of the journal that
   it knows. It must know at least as much as the notifier has read.
2. A writer calls `notify`. One thread then reads all new entries of the journal, and in the same transaction what the
   waiters concerned need: whether their sessions go on, and the records of the changed packages. No other is woken, and
   none reads again.
3. A waiter that came while the thread was reading, and may be concerned, is woken to look into the database itself.
4. The repositories of a mirror are remembered from one question to the next, until the journal says that the mirror has
   changed. So a mirror that asks again from the newest position begins to wait without a look into the database.
"""

import asyncio
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine

from packrat_core.errors import PackratError
from packrat_server.accounts.live_sessions import read_live_sessions
from packrat_server.accounts.sessions import READER
from packrat_server.api.change_batch import ChangeBatch, Waiter, token_hashes
from packrat_server.api.changed_records import RepoRecords, read_repo_records
from packrat_server.api.request_threads import run_to_end
from packrat_server.store.database import reading
from packrat_server.store.journal import Entry, Position, group_touched, read_entries, read_newest
from packrat_server.store.postgresql import first_line

log = structlog.get_logger()

_ENTRIES_AT_ONCE = 1000
_RETRY_S = 0.5
_UNKNOWN = Position(-1, "")
_NO_ENTRY = Entry(-1, "", None, None, None)


@dataclass(frozen=True, slots=True)
class _Read:
    batch: ChangeBatch
    woken: Collection[Waiter]
    is_whole: bool


class ChangeNotifier:
    """Wakes those who wait for a change; only `notify` and `close` may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rung = asyncio.Event()
        self._rung_id = 0
        self._must_read = False
        self._waiting = _Waiting()
        self._repos: dict[str, frozenset[str]] = {}
        self._newest = _UNKNOWN
        self._reported = ""
        self.closed = False
        """The server is about to stop: no waiter waits any longer."""

    def notify(self, newest_id: int | None = None) -> None:
        """Say that something was written; newest_id: the last entry of the journal, where that is known."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring, newest_id)

    def close(self) -> None:
        """Wake all who wait, and let nobody wait from now on."""
        self.closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    async def run(self) -> None:
        """Read the journal whenever something was written; no error ends this."""
        self._loop = asyncio.get_running_loop()
        # What was written before this began.
        self._ring(None)
        has_failed = False
        while True:
            await self._rung.wait()
            self._rung.clear()
            if not self._must_read and self._rung_id <= self._newest.id:
                # PostgreSQL also reports our own changes, which were read already.
                continue
            self._must_read = False
            try:
                await (self._begin() if self._newest == _UNKNOWN else self._tell(self._newest))
                self._reported, has_failed = "", False
            except Exception as error:
                # The database may be away; the watch (serving/change_watch.py) says so. It is not if the journal can
                # be read. Then those who wait look into the database: what can't be notified must not hold them up.
                is_away = isinstance(error, PackratError) and not (has_failed and await self._is_readable())
                if not is_away:
                    self._report(error)
                    self._forget()
                has_failed = True
                await asyncio.sleep(_RETRY_S)
                self._ring(None)

    @property
    def waiting(self) -> int:
        """Number of those who wait."""
        return len(self.all_waiting())

    @property
    def newest_id(self) -> int:
        """The last entry of the journal that the notifier knows."""
        return self._newest.id

    def known_repos(self, mirror: str, position: str) -> frozenset[str] | None:
        """The repositories of a mirror that asks from the newest position; None where the database must be asked."""
        return self._repos.get(mirror) if str(self._newest) == position else None

    def compare(self, known_id: int, found_id: int) -> None:
        """Compare the notifier with the database, and read all of it again if the database was replaced.

        Args:
            known_id: The last entry of the journal that the notifier knew before somebody looked into the database.
            found_id: The last entry that was found there.
        """
        if found_id < known_id <= self._newest.id:
            self._forget()
            self._ring(None)

    def remember_repos(self, mirror: str, repos: frozenset[str], at: int) -> None:
        """Remember the repositories of a mirror.

        Args:
            mirror: The name of the mirror.
            repos: Its repositories.
            at: The last entry of the journal when they were read.
        """
        if at >= self._newest.id:
            self._repos[mirror] = repos

    async def wait(self, waiter: Waiter, wait_s: float) -> ChangeBatch | None:
        """Wait for a change.

        Args:
            waiter: What is waited for.
            wait_s: How long at most.

        Returns:
            The change; None where the time is over, the server stops, or the database must be asked what changed.
        """
        self.add(waiter)
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                return await waiter.woken
        except TimeoutError:
            return None
        finally:
            self.discard(waiter)

    def add(self, waiter: Waiter) -> None:
        """Wake a waiter from now on; at once where it knows less than the notifier, or the server stops."""
        self._waiting.add(waiter)
        if self.closed or waiter.after < self._newest.id:
            waiter.wake(None)

    def discard(self, waiter: Waiter) -> None:
        """Wake a waiter no longer."""
        self._waiting.discard(waiter)

    def all_waiting(self) -> list[Waiter]:
        """List those who wait."""
        return self._waiting.all()

    def _ring(self, newest_id: int | None) -> None:
        if newest_id is None:
            self._must_read = True
            self._rung.set()
        elif newest_id > self._newest.id:
            self._rung_id = max(newest_id, self._rung_id)
            self._rung.set()

    def _wake_all(self) -> None:
        for waiter in self._waiting.all():
            waiter.wake(None)

    def _forget(self) -> None:
        """Forget everything: read the journal again, and wake all who wait so that they look into the database."""
        self._newest = _UNKNOWN
        self._repos.clear()

    def _report(self, error: Exception) -> None:
        """Log an error that nobody foresaw, once as long as it stays the same."""
        reason = f"{type(error).__name__}: {first_line(error)}"
        if reason != self._reported:
            self._reported = reason
            log.error("notifying", reason=reason, text="requests that wait for a change look into the database")

    async def _is_readable(self) -> bool:
        try:
            await run_to_end(self._read_newest)
        except Exception:
            return False
        return True

    async def _begin(self) -> None:
        self._begin_at(await run_to_end(self._read_newest))

    def _begin_at(self, newest: Position) -> None:
        self._newest, self._rung_id = newest, 0
        # Somebody rang while that was read; which entry it was for is not known any more.
        self._must_read = self._must_read or self._rung.is_set()
        self._repos.clear()
        self._wake_all()

    def _read_newest(self) -> Position:
        with reading(self._engine) as connection:
            return read_newest(connection)

    async def _tell(self, known: Position) -> None:
        found = await run_to_end(self._read, known)
        if self._newest != known:
            # It was forgotten in the meantime: read everything again.
            return
        if isinstance(found, Position):
            if found != known:
                # Another database took the place of this one, such as a standby that has not got everything.
                self._begin_at(found)
            return
        self._newest = found.batch.newest
        for entry in found.batch.entries:
            if entry.mirror is not None:
                self._repos.pop(entry.mirror, None)
        late = self._waiting.concerned(found.batch.entries) - set(found.woken)
        for waiter in found.woken:
            waiter.wake(found.batch)
        for waiter in late:
            waiter.wake(None)
        if not found.is_whole:
            self._ring(None)

    def _read(self, known: Position) -> _Read | Position:
        """Read the entries after those that are known; gives the newest position if they concern no waiter."""
        with reading(self._engine) as connection:
            # From the last known one on, which tells whether this is still the same journal.
            last, *entries = read_entries(connection, known.id - 1, _ENTRIES_AT_ONCE + 1) or [_NO_ENTRY]
            if Position(last.id, last.mark) != known:
                return read_newest(connection)
            if not entries:
                return known
            woken = self._waiting.concerned(entries)
            live = read_live_sessions(connection, token_hashes(woken))
            records = {
                only: _read_records(connection, entries, woken, only_touched=only)
                for only in {waiter.only_touched for waiter in woken if waiter.with_records}
            }
        batch = ChangeBatch(known.id, tuple(entries), records, live)
        return _Read(batch, woken, len(entries) < _ENTRIES_AT_ONCE)


class _Waiting:
    """The waiters, by what they wait for; a thread asks for those that a change concerns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[Waiter] = set()
        self._by_repo: dict[str, set[Waiter]] = {}
        self._by_mirror: dict[str, set[Waiter]] = {}

    def add(self, waiter: Waiter) -> None:
        with self._lock:
            self._all.add(waiter)
            for repo in waiter.repos:
                self._by_repo.setdefault(repo, set()).add(waiter)
            if waiter.mirror is not None:
                self._by_mirror.setdefault(waiter.mirror, set()).add(waiter)

    def discard(self, waiter: Waiter) -> None:
        with self._lock:
            self._all.discard(waiter)
            for repo in waiter.repos:
                _remove(self._by_repo, repo, waiter)
            if waiter.mirror is not None:
                _remove(self._by_mirror, waiter.mirror, waiter)

    def all(self) -> list[Waiter]:
        with self._lock:
            return list(self._all)

    def concerned(self, entries: Iterable[Entry]) -> set[Waiter]:
        """Find the waiters that entries of the journal concern and that do not know these entries yet."""
        found: set[Waiter] = set()
        with self._lock:
            for entry in entries:
                table, key = (self._by_repo, entry.repo) if entry.repo else (self._by_mirror, entry.mirror)
                waiting = table.get(key or "", ())
                found.update(waiter for waiter in waiting if entry.id > waiter.after)
        return found


def _remove(table: dict[str, set[Waiter]], key: str, waiter: Waiter) -> None:
    waiters = table[key]
    waiters.discard(waiter)
    if not waiters:
        del table[key]


def _read_records(
    connection: Connection, entries: Iterable[Entry], waiters: Iterable[Waiter], *, only_touched: bool
) -> dict[str, RepoRecords | None]:
    """Read the records of the changed packages, for the repositories that somebody wants them of in this way."""
    asking = [waiter for waiter in waiters if waiter.with_records and waiter.only_touched is only_touched]
    wanted = set().union(*(waiter.repos for waiter in asking))
    changes: dict[str, list[tuple[str, int | None]]] = {}
    for entry in entries:
        if entry.repo in wanted and entry.repo is not None and entry.package is not None:
            changes.setdefault(entry.repo, []).append((entry.package, entry.file))
    # A mirror that has a repository may see all that is read of it.
    return {
        repo: read_repo_records(connection, READER, repo, group_touched(changed), only_touched=only_touched)
        for repo, changed in changes.items()
    }
