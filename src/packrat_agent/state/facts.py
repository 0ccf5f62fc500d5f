"""Remembers single facts of the agent's state, each a value of its own, for `status` and for the next start.

The table `settings` holds a JSON object under each fact's NAME; the fields of the class are its keys. An object of an
earlier version, or one that somebody edited, is read as far as it makes sense: a field that is missing or odd is None.

    facts.write(Failure(time.time(), "the disk is full")); facts.read(Failure)
    facts.update_repo("apt-dev", checked=time.time())
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, TypedDict, TypeVar, Unpack

from packrat_agent.state.database import Database


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known; times are epoch seconds."""

    NAME: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Started(Fact):
    """The last start of `packrat-agent run`, and the version of mirror.conf that it has read."""

    NAME = "started"
    pid: int | None
    host: str | None
    at: float | None
    version: str | None
    config: str | None = None


@dataclass(frozen=True, slots=True)
class ServerHealth(Fact):
    """Whether the packrat server answers, `since` when that is so, and the reason why not."""

    NAME = "server"
    url: str | None
    up: bool | None
    since: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class LoginRefusal(Fact):
    """Why the server refuses the psk of a mirror that it shows without a login; None: it does not."""

    NAME = "login"
    refused: str | None
    since: float | None


@dataclass(frozen=True, slots=True)
class Failure(Fact):
    """Why the agent can't work; it goes on by itself once that is mended."""

    NAME = "failure"
    at: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RefusedConfig(Fact):
    """Why the configuration on disk is not the one in force."""

    NAME = "config_error"
    at: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class LastFullSync(Fact):
    """The last full sync that came to its end: how many `files` it found right, how many `bytes` it read on disk."""

    NAME = "full_pass"
    began: float | None
    ended: float | None
    seconds: float | None
    files: int | None
    bytes: int | None
    damaged: int | None
    foreign: int | None
    complete: bool | None


@dataclass(frozen=True, slots=True)
class ScanProgress(Fact):
    """How far the full sync that is under way has read the disk."""

    NAME = "scan"
    began: float | None
    files: int | None
    bytes: int | None
    of_files: int | None


@dataclass(frozen=True, slots=True)
class ScanRound(Fact):
    """How far the content of the tree is read, over several scans.

    Of the round under way: `began`, the `position` (the last path that was read; None: none yet) and how many `bytes`
    were read; None between two rounds. `ended`: when the last one ended; None: none did.
    """

    NAME = "scan_round"
    began: float | None
    ended: float | None
    position: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class KeyInUse(Fact):
    """The main key; `fingerprint` is None if there is none, `expires` if it never does.

    The key of a section of mirror.conf stands under `key:` and the section, such as `key:repo apt-prod`.
    `stale` says what is wrong with a public key that the operator keeps in root_dir, `unused` why the key of a section
    signs nothing; None if nothing is wrong.

    Of a rotation: `phase` is a Phase of config, None where none is under way. `next`, `former` and `retired`
    (several are separated by spaces) are fingerprints. `silent`: why the former key does not sign. Each phase has the
    moment from which on all of it was published; None: it is not yet. `kept_packages`: how many packages stand with the
    signature of another key.
    """

    NAME = "key"
    fingerprint: str | None
    algorithm: str | None = None
    bits: int | None = None
    expires: float | None = None
    stale: str | None = None
    unused: str | None = None
    phase: str | None = None
    next: str | None = None
    next_expires: float | None = None
    former: str | None = None
    former_expires: float | None = None
    silent: str | None = None
    retired: str | None = None
    offered_at: float | None = None
    switched_at: float | None = None
    retired_at: float | None = None
    kept_packages: int | None = None


@dataclass(frozen=True, slots=True)
class SteadyTime(Fact):
    """What the steady clock said when it was last read, and what it was read from; seconds.

    boot: Names the run of the machine. running: For how long it had run. wall: The time of day.
    """

    NAME = "steady_time"
    at: float | None
    boot: str | None
    running: float | None
    wall: float | None


@dataclass(frozen=True, slots=True)
class RetentionTime(Fact):
    """When it was last looked which files go, by the steady clock and by the time of day; seconds.

    boot: Names the run of the machine. since: The time of day from which on times are surely of this run. ahead: By how
    much the time of day has jumped ahead in this run, less what it came back.
    """

    NAME = "retention_time"
    at: float | None
    wall: float | None
    boot: str | None
    since: float | None
    ahead: float | None


@dataclass(frozen=True, slots=True)
class TrustedRecords(Fact):
    """From when on records of package files are trusted, and which server they are of."""

    NAME = "records"
    since: float | None
    server: str | None


@dataclass(frozen=True, slots=True)
class SealedList(Fact):
    """The list that was sealed last: SHA-256 of its text and of the file with its seal, and who sealed it."""

    NAME = "sealed"
    text: str | None
    file: str | None
    by: str | None


@dataclass(frozen=True, slots=True)
class TakeoverUnderWay(Fact):
    """The takeover of another agent's tree, until a full sync has ended it.

    `original` is the path of the original packrat agent's state database, None where that agent left none.
    """

    NAME = "takeover"
    began: float | None
    original: str | None


@dataclass(frozen=True, slots=True)
class RepoWork:
    """How far the sync of a repository has come that is under way; it stands under `work:` and the repository's name.

    reading: records that it still has to read before it can go on. new: of these, how many are of files that nobody
    knew. done, of: files that it has fetched, and all.
    """

    began: float | None = None
    reading: int | None = None
    new: int | None = None
    done: int | None = None
    of: int | None = None


@dataclass(frozen=True, slots=True)
class RepoHealth:
    """How the last syncs of a repository went; it stands under `repo:` and the repository's name.

    `behind_since`: when the oldest change was heard of that is known and not published yet; None where there is none.
    """

    checked: float | None = None
    published: float | None = None
    behind_since: float | None = None
    held: str | None = None
    ahead: str | None = None
    error: str | None = None


class RepoChanges(TypedDict, total=False):
    """The fields of a RepoHealth that change."""

    checked: float
    published: float
    behind_since: float | None
    held: str | None
    ahead: str | None
    error: str | None


F = TypeVar("F", bound=Fact)
_AnyFact = TypeVar("_AnyFact", bound=Fact | RepoHealth | RepoWork)
_REPO = "repo:"
_WORK = "work:"
_KEY = "key:"
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

    def note_server(self, url: str, now: float, reason: str = "") -> None:
        """Remember that the server answers, or the reason why not.

        Args:
            url: The server's address.
            now: The moment; it becomes the `since` of a server that has changed.
            reason: Why it does not answer; '': it does.
        """
        before, up = self.read(ServerHealth), not reason
        since = now if before is None or before.up is not up else before.since
        self.write(ServerHealth(url, up, since, reason))

    def _read(self, kind: type[_AnyFact], name: str) -> _AnyFact | None:
        rows = self._db.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return _parse(kind, rows[0][0]) if rows else None

    def _write(self, name: str, fact: Fact | RepoHealth | RepoWork) -> None:
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
        """Give what is known of a repository."""
        return _parse(RepoHealth, self._texts.get(_REPO + name)) or RepoHealth()

    def section_keys(self) -> dict[str, KeyInUse]:
        """Map section of mirror.conf → its key."""
        names = sorted(name for name in self._texts if name.startswith(_KEY))
        read = {name.removeprefix(_KEY): _parse(KeyInUse, self._texts[name]) for name in names}
        return {section: key for section, key in read.items() if key is not None}

    def work(self, name: str) -> RepoWork | None:
        """Give how far the sync of a repository has come; None where none is under way."""
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
