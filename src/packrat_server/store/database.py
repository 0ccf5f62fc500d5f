"""Opens the server's database, an SQLite file or a PostgreSQL database, and gives transactions on it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from weakref import WeakSet

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from packrat_core.errors import ConfigError, PackratError, ServerUnavailable
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import explain_unread
from packrat_server.store.blobs import holds_files
from packrat_server.store.postgresql import (
    check_pooler,
    connect_postgresql,
    connects,
    first_line,
    hint_of,
    is_away,
    is_passing,
    is_pooled,
    lends_for_statements,
    place,
    refusal,
    refuse_pooler,
    take_connection,
)
from packrat_server.store.schema import is_newest, upgrade
from packrat_server.store.sqlite import TRY_AGAIN_S, connect_sqlite, explain_sqlite, writers_turn

_AWAY = (OperationalError, InterfaceError, InternalError, NoConnection)
_TABLES_NAMED = 3
_URL_LIMIT = 64 * 1024
_refused: WeakSet[Engine] = WeakSet()
"""Those that refused a write, until they are known to take writes again."""


class DatabaseAway(ServerUnavailable):
    """PostgreSQL can't be reached, as during a restart or until a standby takes over; nothing was changed."""


@dataclass(slots=True)
class _Progress:
    """How far a transaction is: once it is being committed, nobody knows whether that was carried out."""

    commits: bool = False


def read_url(data_dir: Path) -> str | None:
    """Read the URL of the PostgreSQL database that a data directory belongs to; None where it has an SQLite file.

    Raises:
        ConfigError: The file `database` can't be read, or holds something else.
    """
    path = data_dir / "database"
    try:
        url = read_given(path, _URL_LIMIT).decode().strip()
        place(url)
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return None
        raise ConfigError(
            f"{path} is a link that leads nowhere", hint="it holds the URL of the database; restore it"
        ) from None
    except OSError as error:
        why = explain_unread(path, error)
        # Where the directory can't be looked into, nobody knows whether the file is there.
        where, hint = (
            (path, "it holds the URL of the database, in one line")
            if os.path.lexists(path)
            else (data_dir, "name the server's data directory with --data")
        )
        # Where the way is closed, `why` says what to do.
        raise ConfigError(f"{where} can't be read: {why}", hint="" if "`" in why else hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text", hint="write the URL of the database into it, or restore it") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return url


def open_database(data_dir: Path) -> Engine:
    """Open the database of a data directory and migrate it to the newest schema.

    Raises:
        ConfigError: There is none (`packrat-server init` makes it), or it can't be used.
        ServerUnavailable: PostgreSQL can't be reached, or another process holds the SQLite file.
    """
    url = read_url(data_dir)
    path = data_dir / "packrat.db"
    if url is None:
        _check_sqlite_is_there(path)
    engine = _connect(path, url)
    with _as_operators_error(engine, url), _disposed_on_failure(engine):
        _check_postgresql(engine)
        with reading(engine) as connection:
            newest = is_newest(connection, where(engine))
        if not newest:
            with writing(engine) as connection:
                # Another server may have migrated it while this one waited for the lock.
                if not is_newest(connection, where(engine)):
                    upgrade(connection)
    return engine


def check_database(engine: Engine) -> None:
    """Look for damage in a database that is an SQLite file, which nobody may have noticed yet; about 1 s for 200 MB.

    Raises:
        ConfigError: It is damaged.
    """
    if engine.dialect.name != "sqlite":
        return
    with reading(engine) as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise explain_sqlite(Path(where(engine)), " ".join(found.split()))


def _check_sqlite_is_there(path: Path) -> None:
    try:
        if path.exists():
            return
        has_files = holds_files(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {explain_unread(path, error)}") from None
    if path.is_symlink():
        raise ConfigError(f"{path} is a link that leads nowhere", hint="mount what it leads to, or restore it")
    if has_files:
        raise ConfigError(
            f"{path} is missing, but the package files are there",
            hint="restore it, or the file `database`, from a backup",
        )
    if os.path.lexists(path.parent) and not path.parent.is_dir():
        raise ConfigError(
            f"{path.parent} is not a directory, so it holds no packrat server",
            hint="name the server's data directory with --data, or make a server elsewhere with `packrat-server init`",
        )
    raise ConfigError(
        f"{path.parent} holds no packrat server",
        hint=f"make one with `packrat-server init --data {quote(str(path.parent))}`",
    )


def make_database(data_dir: Path, url: str | None, fill: Callable[[Connection], None]) -> None:
    """Make the database of a new data directory and remember where it is; if anything fails, nothing is left.

    Args:
        data_dir: The data directory, which exists.
        url: The URL of an empty PostgreSQL database; None for an SQLite file.
        fill: Writes the first rows, in the transaction that makes the schema.

    Raises:
        ConfigError: There is one already, or it can't be made.
        ServerUnavailable: PostgreSQL can't be reached.
    """
    path = data_dir / ("packrat.db" if url is None else "database")
    engine = _connect(path, url)
    with _as_operators_error(engine, url), _disposed_on_failure(engine):
        _check_postgresql(engine)
        # The file marks the directory as a server's. It is made first, so that two `init` can't both go on.
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{url}\n" if url is not None else "")
            with writing(engine) as connection:
                _check_empty(connection, where(engine))
                upgrade(connection)
                fill(connection)
        except BaseException:
            # Close before removing: SQLite would leave its write-ahead log, which a later database must not find.
            engine.dispose()
            path.unlink()
            raise
    engine.dispose()


def where(engine: Engine) -> str:
    """Name the database in a message: a path, or a URL without its secrets."""
    return str(engine.logging_name)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Hold one consistent view of the database.

    Raises:
        ServerUnavailable: The database can't be reached.
    """
    with _as_unavailable(engine), take_connection(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Hold a transaction as the only writer; it is committed at the end, or rolled back by an exception.

    Raises:
        ServerUnavailable: The database can't be reached, or another writer does not end.
    """
    with (
        _as_unavailable(engine, writes=True) as progress,
        writers_turn(engine) if engine.dialect.name == "sqlite" else nullcontext(),
        take_connection(engine).execution_options(writes=True) as connection,
        connection.begin(),
    ):
        yield connection
        progress.commits = True
    if engine.dialect.name == "sqlite":
        forget_refusal(engine)


def has_refused_write(engine: Engine) -> bool:
    """Tell whether a refusal is noted, as on a full disk or by a standby: reading may go on meanwhile."""
    return engine in _refused


def forget_refusal(engine: Engine) -> None:
    """Forget the refusal, since the database takes writes again."""
    _refused.discard(engine)


@contextmanager
def _as_unavailable(engine: Engine, *, writes: bool = False) -> Iterator[_Progress]:
    progress = _Progress()
    try:
        yield progress
    except (*_AWAY, DatabaseError) as error:
        # Its other subclasses, such as IntegrityError, are about the data and not the database.
        if not isinstance(error, _AWAY) and type(error) is not DatabaseError:
            raise
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        reason = first_line(cause)
        if engine.dialect.name == "sqlite" and isinstance(error, DBAPIError):
            failure = explain_sqlite(Path(where(engine)), reason)
            # A write that waits for another writer was not refused.
            if writes and not isinstance(failure, ServerUnavailable):
                _refused.add(engine)
            raise failure from error
        if not isinstance(error, _AWAY):
            raise
        passes = isinstance(error, NoConnection) or is_passing(cause)
        if writes and not passes:
            _refused.add(engine)
        text = f"the database {where(engine)} can't be used just now: {reason}"
        if not passes and is_away(cause) and not progress.commits:
            raise DatabaseAway(text, TRY_AGAIN_S) from error
        raise ServerUnavailable(text, TRY_AGAIN_S if passes else 0.0, hint=hint_of(cause)) from error


@contextmanager
def _as_operators_error(engine: Engine, url: str | None) -> Iterator[None]:
    """Turn an error while a database is opened into one that says what the operator can do about it."""
    try:
        yield
    except ServerUnavailable as error:
        if url is None:
            raise
        cause = error.__cause__
        raise _operators_error(engine, url, cause if isinstance(cause, DBAPIError) else None, str(error)) from None
    except DBAPIError as error:
        raise _operators_error(engine, url, error, first_line(error)) from None


def _operators_error(engine: Engine, url: str | None, error: DBAPIError | None, message: str) -> PackratError:
    """Tell trouble that may pass (ServerUnavailable) from what the operator must change (ConfigError)."""
    if error is None or error.orig is None:
        return ServerUnavailable(message)
    if url is None:
        return explain_sqlite(Path(where(engine)), first_line(error.orig))
    if isinstance(error, OperationalError) and connects(error.orig):
        return refusal(url, error.orig)
    if lends_for_statements(message):
        return refuse_pooler(place(url), "statements")
    if isinstance(error, _AWAY):
        return ServerUnavailable(message)
    return ConfigError(
        f"{place(url)} can't be used: {first_line(error.orig)}",
        hint="packrat-server needs a database that its role owns",
    )


@contextmanager
def _disposed_on_failure(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def _connect(path: Path, url: str | None) -> Engine:
    return connect_sqlite(path) if url is None else connect_postgresql(url)


def _check_postgresql(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    with reading(engine) as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        pooled = is_pooled(connection)
    if encoding != "UTF8":
        raise ConfigError(
            f"{where(engine)} has the encoding {encoding}, not UTF8",
            hint="create it again with `createdb --encoding UTF8 --template template0`",
        )
    if pooled:
        check_pooler(engine)


def _check_empty(connection: Connection, database: str) -> None:
    tables = sorted(inspect(connection).get_table_names())
    if "alembic_version" in tables and "package_files" in tables:
        raise ConfigError(
            f"{database} holds a packrat server already",
            hint="serve it from its own data directory, or name another database",
        )
    if tables:
        named = ", ".join(tables[:_TABLES_NAMED])
        raise ConfigError(
            f"{database} holds tables already ({named})", hint="packrat-server needs a database of its own"
        )
