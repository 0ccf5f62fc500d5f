"""Data directories of new servers, for tests that are not about their making, which takes 0.07 s each time."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import Connection

from packrat_server.accounts.passwords import new_password
from packrat_server.admin import new_server
from packrat_server.store.database import make_database, open_database, writing
from packrat_server.store.journal import begin
from support.secrets_once import one_salt

_PASSWORD = new_password()
_first: list[bytes] = []
"""The database of the first one, before its journal begins."""


def new_server_data(data: Path, database: str | None = None) -> str:
    """Make the data directory of a server; gives the administrator's password, the same each time.

    database: the URL of an empty PostgreSQL database; None for an SQLite file, which is a copy of the first one.
    """
    make = _copy if database is None else make_database
    with (
        one_salt(),
        patch.object(new_server, "new_password", lambda: _PASSWORD),
        patch.object(new_server, "make_database", make),
    ):
        return new_server.init(data, database)


def _copy(data_dir: Path, _: str | None, fill: Callable[[Connection], None]) -> None:
    if not _first:
        with tempfile.TemporaryDirectory() as place, patch.object(new_server, "begin", lambda _: None):
            make_database(Path(place), None, fill)
            _first.append((Path(place) / "packrat.db").read_bytes())
    path = data_dir / "packrat.db"
    path.write_bytes(_first[0])
    path.chmod(0o600)
    engine = open_database(data_dir)
    # Its mark tells one server from another.
    with writing(engine) as connection:
        begin(connection)
    engine.dispose()
