"""Tells whether a database takes writes: on a full disk, or where PostgreSQL is a standby, it may still answer.

1. A write that the database refuses is noted. While none is, asking costs nothing.
2. A question while a refusal is noted tries one write, so that the answer is up to date. Once that is taken, the
   refusal is forgotten.
3. SQLite's refusal is forgotten with any write that it takes. PostgreSQL has room left in its tables and its log while
   its disk is full: a heartbeat may fit in where no package file does. So there only 2 counts, and takes new room.
"""

import secrets

from sqlalchemy import Connection, Engine, delete, insert

from packrat_server.store.database import forget_refusal, has_refused_write, writing
from packrat_server.store.tables import sessions


def check_writable(engine: Engine) -> None:
    """Try to write, if a refusal is noted.

    Raises:
        PackratError: The database still refuses it.
    """
    if not has_refused_write(engine):
        return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql" and _may_create(connection):
            _take_room(connection)
        else:
            _change_page(connection)
    forget_refusal(engine)


def _may_create(connection: Connection) -> bool:
    """Tell whether the role may make a table, which else only a new version of the server has to."""
    return bool(connection.exec_driver_sql("SELECT has_schema_privilege(current_schema(), 'CREATE')").scalar_one())


def _take_room(connection: Connection) -> None:
    # The lock of the writers keeps another server from the name; the transaction leaves nothing of it.
    connection.exec_driver_sql("CREATE TABLE room_to_write AS SELECT md5(n::text) FROM generate_series(1, 4000) AS n")
    connection.exec_driver_sql("DROP TABLE room_to_write")


def _change_page(connection: Connection) -> None:
    """Change a page of the file, and nothing of what is in there."""
    probe = secrets.token_bytes(32)
    connection.execute(insert(sessions).values(token_hash=probe, name="", role="", expires=0.0))
    connection.execute(delete(sessions).where(sessions.c.token_hash == probe))
