"""Connects to a database that is an SQLite file, and explains why it can't be used."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event

from packrat_core.errors import ConfigError, DiskError, PackratError, ServerUnavailable
from packrat_core.fs.disk_errors import FULL
from packrat_core.fs.ownership import explain_unreadable, explain_unwritable

_BUSY_TIMEOUT_S = 30
TRY_AGAIN_S = 5.0
"""When to try again where the database works, and others only have it for the moment."""
_CONNECTIONS = 40
LOG_LIMIT_BYTES = 16 * 1024 * 1024
"""What is left of the write-ahead log once its content is in the database; usually it has a quarter of this."""
_LOG_BYTES = 256 * 1024
"""Room that the write-ahead log needs at least."""
_turns: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()


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
        # The log grows as long as another program, such as a backup, reads; SQLite would leave the file at that size.
        connection.execute(f"PRAGMA journal_size_limit={LOG_LIMIT_BYTES}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that begins as a reader and then writes fails at once if another wrote in between.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def writers_turn(engine: Engine) -> Iterator[None]:
    """Be the only writer of this process.

    SQLite has those who wait for a lock try again after up to 100 ms, so of many writers some would wait for seconds.

    Raises:
        ServerUnavailable: Another writer of this process does not end.
    """
    turn = _turns.setdefault(engine, threading.Lock())
    if not turn.acquire(timeout=_BUSY_TIMEOUT_S):
        raise ServerUnavailable(
            f"{engine.logging_name} has been written by others for {_BUSY_TIMEOUT_S} s",
            TRY_AGAIN_S,
            hint="wait for that to end, and try again",
        )
    try:
        yield
    finally:
        turn.release()


def explain_sqlite(path: Path, reason: str) -> PackratError:
    """Explain why an SQLite file can't be used.

    Args:
        path: The file.
        reason: What the driver says.

    Returns:
        ServerUnavailable where waiting helps, DiskError where space does, ConfigError where the operator must mend the
        file.
    """
    if "locked" in reason or "busy" in reason:
        return ServerUnavailable(f"{path} is held by another process: {reason}", TRY_AGAIN_S, hint="wait for it to end")
    # Without room for its log, or beyond a quota, SQLite reports a mere I/O error, or that it can't open a file.
    is_vague = "disk I/O error" in reason or "unable to open" in reason
    full = _find_full(path.parent) if is_vague else reason if "full" in reason else None
    if full is not None:
        return DiskError(
            f"{path} can't be written: {full}", hint="free space on its filesystem, or raise the quota there"
        )
    # Unlike those of pathlib, these raise nothing where a directory on the way is closed.
    if os.path.isdir(path):
        return ConfigError(f"{path} is a directory, not a database", hint=_restore(path))
    if os.path.exists(path) and not os.path.isfile(path):
        return ConfigError(f"{path} is a pipe, a socket or a device, not a database", hint=_restore(path))
    why = explain_unreadable(path) or explain_unwritable(path, path.parent, *_beside(path))
    if why is not None:
        return ConfigError(f"{path} can't be used: {why}")
    if "readonly" in reason or "unable to open" in reason:
        return ConfigError(
            f"{path} can't be used: {reason}",
            hint="check that its filesystem is mounted, and not read-only, and that packrat.db-wal and -shm are files",
        )
    if "disk I/O error" in reason:
        hint = f"check the disk and its log; only if the file is lost there: {_restore(path)}"
        return ConfigError(f"{path} can't be read or written: {reason}", hint=hint)
    return ConfigError(f"{path} is damaged: {reason}", hint=_restore(path))


def _find_full(directory: Path) -> str | None:
    """Try to write as much as the log needs; gives what the system says where there is no room for that."""
    try:
        # A quota is not seen otherwise.
        with tempfile.NamedTemporaryFile(dir=directory) as probe:
            probe.write(bytes(_LOG_BYTES))
            probe.flush()
            # Over a network, some filesystems say so only now.
            os.fsync(probe.fileno())
    except OSError as error:
        return error.strerror if error.errno in FULL else None
    return None


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("-wal", "-shm")]


def _restore(path: Path) -> str:
    return f"stop the server, remove {path.name}, {path.name}-wal and -shm, and restore {path.name} from a backup"
