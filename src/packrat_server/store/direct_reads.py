"""Reads from the database in the thread that asks, without a session of SQLAlchemy.

A short query takes a few microseconds in an SQLite file; a session and another thread for it take fifty times as long.
Nothing is remembered from one query to the next, so each one sees all that was committed before.

1. Only queries by an indexed key: the event loop stands still while one runs.
2. It never waits for a lock. What can't be read at once is read in a session of its own, where waiting holds up nobody.
3. PostgreSQL is another machine, as a rule, so it is always waited for in a session. So is an SQLite file on a network
   disk.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, Select

from packrat_server.store.network_disk import is_on_network


class DirectQuery:
    """A query with named parameters, written out once."""

    def __init__(self, query: Select[Any], engine: Engine) -> None:
        self.query = query
        compiled = query.compile(dialect=engine.dialect)
        self._fixed = dict(compiled.params)
        self._names: Sequence[str] = compiled.positiontup or ()
        self.sql = str(compiled)

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """Give the values in the order in which the text of the query has them."""
        return [given.get(name, self._fixed[name]) for name in self._names]


class DirectReads:
    """One connection to an SQLite file, which belongs to the event loop; none for PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = None if path is None or is_on_network(Path(path)) else path
        self._connection: sqlite3.Connection | None = None

    def rows(self, query: DirectQuery, given: Mapping[str, Any]) -> list[Any] | None:
        """Read all rows at once; None where that is not possible now, and a session must read them.

        Args:
            query: The query, by a key that an index has.
            given: The values of its parameters by name.
        """
        if self._path is None:
            return None
        try:
            if self._connection is None:
                self._connection = _connect(self._path)
            # Read to the end: a cursor left open would keep the old view of the database.
            return self._connection.execute(query.sql, query.values(given)).fetchall()
        except sqlite3.Error:
            # A session comes upon the same trouble, and explains it.
            self.close()
            return None

    def close(self) -> None:
        """Close the connection; the next query opens another one."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _connect(path: str) -> sqlite3.Connection:
    # The application's loop may run, and end, in different threads; only one of them uses the connection at a time.
    uri = f"file:{quote(path)}?mode=rw"
    connection = sqlite3.connect(uri, timeout=0, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute("PRAGMA query_only=ON")
    return connection
