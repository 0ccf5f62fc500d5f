"""Keeps the agent's facts in the table `settings`, each as a JSON object under its name.

The fields of a fact's class are the keys of the object. An object of an earlier version, or one that somebody edited,
is read as far as it makes sense: a field that is missing or odd is None.

    facts.write(Failure(time.time(), "the disk is full")); facts.read(Failure)
    facts.update_repo("apt-dev", checked=time.time())
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar, Unpack

from packrat_agent.state.database import Database
from packrat_agent.state.facts import Fact, KeyInUse, RepoChanges, RepoHealth, RepoWork, ServerHealth, SideFault

F = TypeVar("F", bound=Fact)
_AnyFact = TypeVar("_AnyFact", bound=Fact | RepoHealth | RepoWork | SideFault)
_REPO = "repo:"
_WORK = "work:"
_KEY = "key:"
_SIDE = "side:"
_NUMBER_LIMIT = 1e18


class Facts:
    """The facts in the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def read(self, kind: type[F]) -> F | None:
        """Read a fact; None if it is not known."""
        return self._read(kind, kind.NAME)

    def write(self, fact: Fact) -> None:
        """Remember a fact, in place of what was known."""
        self._write(fact.NAME, fact)

    def drop(self, kind: type[Fact]) -> None:
        """Forget a fact."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM settings WHERE name = ?", (kind.NAME,))

    def update_repo(self, repo: str, **changes: Unpack[RepoChanges]) -> None:
        """Change some of what is known of a repository."""
        with self._db.transaction():
            known = self._read(RepoHealth, _REPO + repo) or RepoHealth()
            self._write(_REPO + repo, replace(known, **changes))

    def has_failed(self, repo: str) -> bool:
        """Tell whether the last sync of a repository ended with an error."""
        return bool((known := self._read(RepoHealth, _REPO + repo)) and known.error)

    def note_behind(self, repo: str, heard_at: float) -> None:
        """Remember since when a change of a repository is known, unless an older one is not published yet."""
        with self._db.transaction():
            known = self._read(RepoHealth, _REPO + repo) or RepoHealth()
            if known.behind_since is None or known.behind_since > heard_at:
                self._write(_REPO + repo, replace(known, behind_since=heard_at))

    def note_caught_up(self, repo: str, since: float | None = None) -> None:
        """Forget a change that is published; with `since`, unless it was heard of before that moment."""
        with self._db.transaction():
            known = self._read(RepoHealth, _REPO + repo)
            if known is None or known.behind_since is None:
                return
            if since is None or known.behind_since >= since:
                self._write(_REPO + repo, replace(known, behind_since=None))

    def section_key(self, section: str) -> KeyInUse | None:
        """Read what is known of the key of a section of mirror.conf."""
        return self._read(KeyInUse, _KEY + section)

    def write_section_keys(self, keys: Mapping[str, KeyInUse]) -> None:
        """Remember the keys of sections of mirror.conf, by section, in place of all that were known."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM settings WHERE name GLOB ?", (f"{_KEY}*",))
            for section, key in keys.items():
                self._write(_KEY + section, key)

    def write_work(self, repo: str, work: RepoWork) -> None:
        """Remember how far the sync of a repository has come."""
        self._write(_WORK + repo, work)

    def drop_work(self, repo: str | None = None) -> None:
        """Forget how far the sync of a repository had come; None: of all, of a process that was killed."""
        with self._db.transaction() as db:
            if repo is None:
                db.execute("DELETE FROM settings WHERE name GLOB ?", (f"{_WORK}*",))
            else:
                db.execute("DELETE FROM settings WHERE name = ?", (_WORK + repo,))

    def note_side_fault(self, what: str, reason: str | None, now: float) -> None:
        """Remember that something beside the repositories fails, or that it does not.

        Args:
            what: What fails, such as `the landing page`.
            reason: Why; None: it does not fail.
            now: The moment.
        """
        with self._db.transaction() as db:
            known = self._read(SideFault, _SIDE + what)
            if reason is None and known is not None:
                db.execute("DELETE FROM settings WHERE name = ?", (_SIDE + what,))
            elif reason is not None and (known is None or known.reason != reason):
                self._write(_SIDE + what, SideFault(now, reason))

    def drop_side_faults(self) -> None:
        """Forget what failed beside the repositories in an earlier process; what still does is noted again."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM settings WHERE name GLOB ?", (f"{_SIDE}*",))

    def note_server(self, url: str, now: float, reason: str = "") -> None:
        """Remember that the server answers, or the reason why not.

        Args:
            url: The server's address.
            now: The moment; it becomes the `since` of a server that has changed.
            reason: Why it does not answer; '': it does.
        """
        before, up = self.read(ServerHealth), not reason
        since = now if before is None or before.up is not up else before.since
        self.write(ServerHealth(url, up, since, reason, up or (before.answered if before is not None else None)))

    def expect_server(self, url: str) -> None:
        """Remember that a `run` has started, and that the server has not answered it yet."""
        before = self.read(ServerHealth) or ServerHealth(url, None, None, None)
        self.write(replace(before, url=url, answered=False))

    def note_answered(self) -> None:
        """Remember that the server has answered the `run` that goes on; whether it does all is another question."""
        before = self.read(ServerHealth)
        if before is not None and before.answered is False:
            self.write(replace(before, answered=True))

    def _read(self, kind: type[_AnyFact], name: str) -> _AnyFact | None:
        rows = self._db.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return _parse(kind, rows[0][0]) if rows else None

    def _write(self, name: str, fact: Fact | RepoHealth | RepoWork | SideFault) -> None:
        with self._db.transaction() as db:
            values = (name, json.dumps(asdict(fact)))
            db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", values)


class FactsRead:
    """All facts as they were at one moment, read from a connection of one's own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._texts: Mapping[str, str] = dict(db.execute("SELECT name, value FROM settings").fetchall())

    def read(self, kind: type[F]) -> F | None:
        """Give a fact; None if it is not known."""
        return _parse(kind, self._texts.get(kind.NAME))

    def repo(self, name: str) -> RepoHealth:
        """Return the facts of a repository."""
        return _parse(RepoHealth, self._texts.get(_REPO + name)) or RepoHealth()

    def section_keys(self) -> dict[str, KeyInUse]:
        """Map section of mirror.conf → its key."""
        names = sorted(name for name in self._texts if name.startswith(_KEY))
        read = {name.removeprefix(_KEY): _parse(KeyInUse, self._texts[name]) for name in names}
        return {section: key for section, key in read.items() if key is not None}

    def side_faults(self) -> dict[str, SideFault]:
        """Map what fails beside the repositories → why."""
        names = sorted(name for name in self._texts if name.startswith(_SIDE))
        read = {name.removeprefix(_SIDE): _parse(SideFault, self._texts[name]) for name in names}
        return {what: fault for what, fault in read.items() if fault is not None and fault.reason}

    def work(self, name: str) -> RepoWork | None:
        """Return the progress of a repository's sync; None where none is under way."""
        return _parse(RepoWork, self._texts.get(_WORK + name))


def _parse(kind: type[_AnyFact], text: str | None) -> _AnyFact | None:
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found:
        return None
    return kind(**{field.name: _read_as(field.type, found.get(field.name)) for field in fields(kind)})


_NUMBERS: Mapping[object, Callable[[float], float]] = {float | None: float, int | None: int}


def _read_as(field_type: object, value: object) -> Any:
    """Give a value as a field of that type has it; None if it doesn't belong there."""
    match value:
        # True and False are integers, too.
        case bool():
            return value if field_type == bool | None else None
        case str():
            return value if value and field_type == str | None else None
        case int() | float() if abs(value) < _NUMBER_LIMIT and field_type in _NUMBERS:
            return _NUMBERS[field_type](value)
        case _:
            return None
