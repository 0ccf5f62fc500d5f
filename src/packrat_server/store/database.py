"""Opens the server's database, brought up to the newest schema: an SQLite file, or a database of PostgreSQL.

Takes: the data directory.
Gives: a SQLAlchemy engine; transactions.
Touches: the data directory; the database.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from packrat_core.errors import ConfigError, PackratError, ServerUnavailable
from packrat_server.store.postgresql import connect_postgresql, first_line, place, refusal
from packrat_server.store.schema import is_newest, upgrade
from packrat_server.store.sqlite import connect_sqlite

_AWAY = (OperationalError, InterfaceError, InternalError, NoConnection)
_TABLES_TOLD = 3


def read_url(data_dir: Path) -> str | None:
    """The URL of the PostgreSQL database that a data directory belongs to; None: the database is an SQLite file.

    Raises: ConfigError
    """
    path = data_dir / "database"
    try:
        url = path.read_text().strip()
        place(url)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}; run as the server's user") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return url


def open_database(data_dir: Path) -> Engine:
    """Open the database of a data directory and migrate it.

    Raises: ConfigError where there is none (`packrat-server init` makes it) or it can't be used; ServerUnavailable
    where PostgreSQL can't be reached.
    """
    url = read_url(data_dir)
    path = data_dir / "packrat.db"
    if url is None and not path.exists():
        raise ConfigError(f"{data_dir} holds no packrat server; make one with `packrat-server init --data {data_dir}`")
    engine = _connect(path, url)
    with _explaining(engine, url), _disposed_on_failure(engine):
        _check_encoding(engine)
        with reading(engine) as connection:
            newest = is_newest(connection, where(engine))
        if not newest:
            with writing(engine) as connection:
                # Another server may have done it meanwhile.
                if not is_newest(connection, where(engine)):
                    upgrade(connection)
    return engine


def make_database(data_dir: Path, url: str | None, fill: Callable[[Connection], None]) -> None:
    """Make the database of a new data directory, and remember where it is; all of it or nothing.

    Raises: ConfigError where there is one already or it can't be made; ServerUnavailable.
    """
    path = data_dir / ("packrat.db" if url is None else "database")
    engine = _connect(path, url)
    with _explaining(engine, url), _disposed_on_failure(engine):
        _check_encoding(engine)
        # The file says that there is a server: it is there first, and goes if the rest fails.
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{url}\n" if url is not None else "")
            with writing(engine) as connection:
                _check_empty(connection, where(engine))
                upgrade(connection)
                fill(connection)
        except BaseException:
            # First closed: SQLite would leave its log, which a later database of that name must not find.
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

    Raises: ServerUnavailable where it is away.
    """
    with _telling(engine), engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Hold the one writer's transaction; all of it or nothing.

    Raises: ServerUnavailable where the database is away, or another writer does not end.
    """
    with (
        _telling(engine),
        engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def _telling(engine: Engine) -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        reason = first_line(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
        raise ServerUnavailable(f"the database {where(engine)} can't be used just now: {reason}") from error


@contextmanager
def _explaining(engine: Engine, url: str | None) -> Iterator[None]:
    """Turn what goes wrong at the beginning into what the operator can do about it."""
    try:
        yield
    except ServerUnavailable as error:
        cause = error.__cause__
        raise _explained(engine, url, cause if isinstance(cause, DBAPIError) else None, str(error)) from None
    except DBAPIError as error:
        raise _explained(engine, url, error, first_line(error)) from None


def _explained(engine: Engine, url: str | None, error: DBAPIError | None, told: str) -> PackratError:
    if error is None or error.orig is None:
        return ServerUnavailable(told)
    if url is None:
        reason = first_line(error.orig)
        if "locked" in reason:
            return ServerUnavailable(f"{where(engine)} is held by another process: {reason}; wait for it to end")
        return ConfigError(f"{where(engine)} can't be used: {reason}; see that it is whole, and its owner and mode")
    if isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) is None:
        return refusal(url, error.orig)
    if isinstance(error, _AWAY):
        return ServerUnavailable(told)
    return ConfigError(
        f"{place(url)} can't be used: {first_line(error.orig)}; packrat-server needs a database that its role owns"
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


def _check_encoding(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    with reading(engine) as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise ConfigError(
            f"{where(engine)} has the encoding {encoding}, not UTF8; make it anew with "
            "`createdb --encoding UTF8 --template template0`"
        )


def _check_empty(connection: Connection, there: str) -> None:
    tables = sorted(inspect(connection).get_table_names())
    if "alembic_version" in tables and "package_files" in tables:
        raise ConfigError(
            f"{there} holds a packrat server already; serve it from its own data directory, or name another database"
        )
    if tables:
        named = ", ".join(tables[:_TABLES_TOLD])
        raise ConfigError(f"{there} holds tables already ({named}); packrat-server needs a database of its own")
