"""Connects to a database that is an SQLite file."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

_BUSY_TIMEOUT_S = 30
_CONNECTIONS = 40


def connect_sqlite(path: Path) -> Engine:
    """Make an engine for an SQLite file, with a write-ahead log, foreign keys, and one writer at a time."""
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": _BUSY_TIMEOUT_S},
        # One for each thread of the server: a connection beyond the pool is opened and closed for a single query.
        pool_size=_CONNECTIONS,
        max_overflow=_CONNECTIONS,
        logging_name=str(path),
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that begins as a reader and then writes fails at once if another wrote in between.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
