"""New entries of the journal, and the answers to the requests that waited for them, each written once."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from packrat_server.api.changed_records import RepoRecords, within_limits
from packrat_server.api.description import uri
from packrat_server.store.journal import Entry, Position


def frame(part: bytes) -> bytes:
    """Put a part of an answer into the form that it has on the connection (RFC 9112, chunked transfer coding)."""
    return b"%x\r\n%b\r\n" % (len(part), part)


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits for a change.

    Attributes:
        repos: The repositories whose changes it waits for.
        mirror: The mirror whose own changes it waits for; None for none.
        after: The last entry of the journal that it knows.
        token_hash: That of its session; None for a caller without one.
        with_records: Whether it wants the records of the changed packages.
        only_touched: Whether it wants of these only the files that changed.
        woken: Is completed by the change that concerns it; by None where it must ask the database.
    """

    repos: frozenset[str]
    mirror: str | None
    after: int
    token_hash: bytes | None = None
    with_records: bool = False
    only_touched: bool = False
    woken: "asyncio.Future[ChangeBatch | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def wake(self, batch: "ChangeBatch | None") -> None:
        """Wake it, unless it is awake."""
        if not self.woken.done():
            self.woken.set_result(batch)


def token_hashes(waiters: Iterable[Waiter]) -> set[bytes]:
    """Collect the hashes of the tokens of those who have a session."""
    return {waiter.token_hash for waiter in waiters if waiter.token_hash is not None}


@dataclass(eq=False, slots=True)
class ChangeBatch:
    """New entries of the journal.

    Attributes:
        before: The last entry before them.
        entries: The entries, in their order.
        records: Whether only files that changed are wanted, or all of their packages → repository → the records; None
            where there are too many.
        live: The hashes of the sessions that go on, of those that wait for one of the entries.
    """

    before: int
    entries: tuple[Entry, ...]
    records: Mapping[bool, Mapping[str, RepoRecords | None]]
    live: frozenset[bytes]
    newest: Position = field(init=False)
    """The position after them."""
    _repos: frozenset[str] = field(init=False)
    _mirrors: frozenset[str] = field(init=False)
    _answers: dict[tuple[frozenset[str], bool, bool], tuple[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find out once what is asked for each waiter."""
        self.newest = Position(self.entries[-1].id, self.entries[-1].mark)
        self._repos = frozenset(entry.repo for entry in self.entries if entry.repo is not None)
        self._mirrors = frozenset(entry.mirror for entry in self.entries if entry.mirror is not None)

    def is_live(self, waiter: Waiter) -> bool:
        """Whether the session of a waiter goes on."""
        return waiter.token_hash is None or waiter.token_hash in self.live

    def names(self, repo: str, after: int) -> list[str]:
        """List the packages of a repository that changed after an entry, newest first."""
        found = [entry.package for entry in reversed(self.entries) if entry.repo == repo and entry.id > after]
        return list(dict.fromkeys(name for name in found if name is not None))

    def answer(self, waiter: Waiter) -> bytes | None:
        """Write what `changes` answers; None where the mirror's own record changed: then the database must be asked."""
        written = self._written(waiter)
        return None if written is None else written[0]

    def line(self, waiter: Waiter) -> bytes | None:
        """Write the answer as a line of a stream, in the form in which it goes over the connection."""
        written = self._written(waiter)
        return None if written is None else written[1]

    def _written(self, waiter: Waiter) -> tuple[bytes, bytes] | None:
        if waiter.mirror in self._mirrors:
            return None
        # A waiter that knows some of the entries already hears of them again, which does no harm.
        key = (self._repos & waiter.repos, waiter.with_records, waiter.only_touched)
        if key not in self._answers:
            text = self._write(key[0], self.records.get(waiter.only_touched, {}) if waiter.with_records else None)
            self._answers[key] = (text, frame(text + b"\n"))
        return self._answers[key]

    def _write(self, repos: frozenset[str], records: Mapping[str, RepoRecords | None] | None) -> bytes:
        changes = {uri("Repo/Repo", repo): sorted(self.names(repo, 0)) for repo in sorted(repos)}
        answer: dict[str, Any] = {"position": str(self.newest), "changes": changes}
        if records is not None:
            answer["records"] = within_limits({repo: records.get(repo) for repo in sorted(repos)})
        return json.dumps(answer).encode()
