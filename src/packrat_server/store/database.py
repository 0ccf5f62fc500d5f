"""Opens the server's database, brought up to the newest schema.

Takes: the data directory.
Gives: a SQLAlchemy engine.
Touches: the database file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

from packrat_agent.errors import ConfigError

_BUSY_TIMEOUT_MS = 30_000
_CONNECTIONS = 40


def open_database(data_dir: Path) -> Engine:
    """Open `packrat.db` below data_dir and migrate it.

    Raises: ConfigError where there is none; `packrat-server init` makes it.
    """
    path = data_dir / "packrat.db"
    if not path.exists():
        raise ConfigError(f"{data_dir} holds no packrat server; make one with `packrat-server init --data {data_dir}`")
    engine = connect(path)
    migrate(engine)
    return engine


def connect(path: Path) -> Engine:
    """Make an engine for a SQLite file: WAL, foreign keys, transactions that begin as writers."""
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000},
        # One for each thread of the server: what overflows a pool is opened and closed for a single query.
        pool_size=_CONNECTIONS,
        max_overflow=_CONNECTIONS,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A read that turns into a write would fail at once where another wrote in between.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema up to the newest version."""
    config = Config()
    config.set_main_option("script_location", "packrat_server.store:migrations")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Hold one consistent view of the database."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Hold the one writer's transaction; all of it or nothing."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection
