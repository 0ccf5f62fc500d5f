"""Tells whether a database takes writes: on a full disk, or where PostgreSQL is a standby, it may still answer.

1. A write that the database refuses is noted, and forgotten once one is taken. While all is well, asking costs nothing.
2. A question while a refusal is noted tries one write, so that the answer is up to date.
"""

import secrets

from sqlalchemy import Engine, delete, insert

from packrat_server.store.database import refused_last_write, writing
from packrat_server.store.tables import sessions


def check_writable(engine: Engine) -> None:
    """Try to write, if the last write was refused.

    Raises:
        PackratError: The database still refuses it.
    """
    if not refused_last_write(engine):
        return
    probe = secrets.token_bytes(32)
    with writing(engine) as connection:
        # It changes a page of the file, and nothing of what is in there.
        connection.execute(insert(sessions).values(token_hash=probe, name="", role="", expires=0.0))
        connection.execute(delete(sessions).where(sessions.c.token_hash == probe))
