"""Finds out which of many sessions go on, since they may have ended while their callers waited.

psycopg would parse a statement with a parameter for each session every time, which takes longer than the query.
"""

import time
from collections.abc import Collection

from sqlalchemy import Connection, LargeBinary, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

from packrat_server.store.tables import sessions

_AT_ONCE = 500
_LIVE = select(sessions.c.token_hash).where(sessions.c.expires >= bindparam("now"))
_BY_ARRAY = _LIVE.where(sessions.c.token_hash == any_(bindparam("hashes", type_=ARRAY(LargeBinary))))
_BY_LIST = _LIVE.where(sessions.c.token_hash.in_(bindparam("hashes", expanding=True)))


def read_live_sessions(connection: Connection, token_hashes: Collection[bytes]) -> frozenset[bytes]:
    """Give those of the hashes of tokens whose sessions go on.

    Args:
        connection: An open transaction.
        token_hashes: The hashes of the tokens, as they are stored.
    """
    hashes, now = list(token_hashes), time.time()
    if connection.dialect.name == "postgresql":
        return frozenset(connection.execute(_BY_ARRAY, {"hashes": hashes, "now": now}).scalars())
    live: set[bytes] = set()
    for start in range(0, len(hashes), _AT_ONCE):
        some = hashes[start : start + _AT_ONCE]
        live.update(connection.execute(_BY_LIST, {"hashes": some, "now": now}).scalars())
    return frozenset(live)
