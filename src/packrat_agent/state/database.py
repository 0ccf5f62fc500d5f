"""Opens the state database, an SQLite file with one writer, and brings its schema up to date."""

import os
import re
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from packrat_core.errors import ConfigError, DiskError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.ownership import explain_unmakable, explain_unwritable

_NUMBER = re.compile(r"(\d{4})_\w+\.sql")
_MODE = 0o640
# Not by importlib.resources: to import that takes as long as all that `status` does with the database.
_MIGRATIONS = Path(__file__).with_name("migrations")


class Database:
    """One SQLite connection behind one lock: any thread may use it, one transaction at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._lock = threading.RLock()
        # As `_set_up` has left it.
        self._is_durable = False

    def close(self) -> None:
        """Close the file; the WAL is folded in."""
        with self._lock, suppress(sqlite3.Error):
            # A full disk leaves the WAL as it is; the next one to open the file reads it.
            self._connection.close()

    def rows(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Read all rows of one query.

        Raises:
            DiskError: The file can't be read.
        """
        with self._lock, _disk_errors("read"):
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Run the statements of a `with` block as one transaction; inside another one, as part of that.

        Args:
            durable: A loss of power right afterwards undoes neither this transaction nor an earlier one.

        Raises:
            DiskError: The change can't be written; nothing of it is kept.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            with _disk_errors("write"):
                try:
                    if durable is not self._is_durable:
                        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                        self._is_durable = durable
                    # A read that turns into a write later would fail with BUSY_SNAPSHOT.
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    # A full disk may have rolled it back already.
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise

    def write_rows(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of some rows, as one transaction; where there are none, without any.

        Raises:
            DiskError: The change can't be written; nothing of it is kept.
        """
        if listed := list(rows):
            with self.transaction() as db:
                db.executemany(sql, listed)


def migrations() -> list[tuple[int, str]]:
    """List the migrations in order: (number, SQL)."""
    return [(number, path.read_text(encoding="utf-8")) for number, path in _numbered()]


def newest_schema() -> int:
    """Give the number of the last migration."""
    return _numbered()[-1][0]


def _numbered() -> list[tuple[int, Path]]:
    found = [(match, path) for path in _MIGRATIONS.iterdir() if (match := _NUMBER.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def is_there(path: Path) -> bool:
    """Tell whether a state database is there; SQLite would wait for good at a named pipe in its place.

    Raises:
        ConfigError: What stands there is not a file.
        OSError: It can't be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(mode):
        raise ConfigError(
            f"the state database {path} is not a file", hint="set state_db to another path, or move away what is there"
        )
    return True


def connect(path: Path) -> sqlite3.Connection:
    """Open the database at `path`, made if it is missing, and migrate it.

    Raises:
        DiskError: It can't be made or read.
        ConfigError: It is not a state database of packrat-agent, or one of a newer version.
    """
    with as_disk_error("open the state database", path):
        is_there(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _close_to_others(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            _set_up(db, path)
        except BaseException:
            # A migration that failed would hold its lock for as long as the connection is open.
            db.close()
            raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        # SQLITE_ERROR: a migration misses a table or a column, which is not a fault of the disk.
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
            if code == sqlite3.SQLITE_FULL:
                hint = "free space there, and where temporary files go (TMPDIR, or else /var/tmp)"
                raise DiskError(f"can't open the state database {path}: its disk is full", hint=hint) from error
            beside = (path.with_name(path.name + end) for end in ("", "-wal", "-shm"))
            hint = explain_unwritable(path.parent, *beside) or "check its directory's permissions"
            raise DiskError(f"can't open the state database {path}: {error}", hint=hint) from error
        raise ConfigError(
            f"{path} is damaged or not a database of packrat-agent ({error})",
            hint="move it away: the agent makes a new one and adopts the files on disk without downloading them",
        ) from error
    except OSError as error:
        why = explain_unmakable(path.parent) or error.strerror
        raise DiskError(f"can't make the directory of the state database {path}: {why}") from error
    return db


def copy_database(source: Path, target: Path) -> Path:
    """Copy the state database, if there is one, for a command that only looks; returns `target`.

    Raises:
        DiskError: It can't be read.
    """
    with as_disk_error("read the state database", source):
        if not is_there(source):
            return target
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as read,
            closing(sqlite3.connect(target)) as copy,
        ):
            read.backup(copy)
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            raise explain_damage(error, source) from error
        hint = "run this as root or as the agent's user"
        raise DiskError(f"can't read the state database {source}: {error}", hint=hint) from error
    return target


def explain_damage(error: sqlite3.DatabaseError, path: Path | None = None) -> DiskError:
    """Explain that the state database is damaged, and how a new one comes about."""
    return DiskError(
        f"the state database {f'{path} ' if path else ''}is damaged ({error})",
        hint="stop the agent and move it away: a new one is made, and the files on disk are adopted without "
        "downloading them",
    )


@contextmanager
def _disk_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DiskError(
            f"can't {doing} the state database: {error}",
            hint="free some space, correct its permissions or check the disk",
        ) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise explain_damage(error) from error


def _close_to_others(path: Path) -> None:
    """Make the file, or what an earlier version made, unreadable for others: who can read a file can lock it for good.

    The owner's group may read it, such as for monitoring.
    """
    # Those beside it get its mode from SQLite, which has them beside what a link leads to.
    path = Path(os.path.realpath(path))
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with suppress(OSError):
            if file.stat().st_mode & stat.S_IRWXO:
                file.chmod(_MODE)


def _set_up(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL risks no damage, only that a loss of power undoes the last transactions.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    _migrate(db, path)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    have = int(db.execute("PRAGMA user_version").fetchone()[0])
    newest = newest_schema()
    if have > newest:
        raise ConfigError(
            f"{path} was written by a newer packrat-agent (schema {have}, this one knows {newest})",
            hint="upgrade packrat-agent, or move the file away to have it rebuilt from disk",
        )
    if have == newest:
        return
    for number, sql in migrations():
        if number > have:
            db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
