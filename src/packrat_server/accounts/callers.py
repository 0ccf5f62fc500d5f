"""Finds out whose session a request belongs to, as the database has it at that moment.

Nothing is remembered: a session that was ended counts for nothing from the next request on, whichever process ended it.
"""

from sqlalchemy import Engine

from packrat_server.accounts.sessions import Caller, caller_of, digest, find_caller, session_query
from packrat_server.store.direct_reads import DirectQuery, DirectReads


class Callers:
    """Finds callers by the token of their session."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._query = DirectQuery(session_query(), engine)
        self._direct = DirectReads(engine)

    def find_now(self, name: str, token: str) -> Caller | None:
        """Find a caller in the event loop, without waiting; None where that is not possible.

        Args:
            name: The header Auth-Id.
            token: The header Auth-Token.

        Raises:
            InvalidSession: The token is not, or no longer, that of a session of this name.
        """
        rows = self._direct.rows(self._query, {"token_hash": digest(token)})
        return None if rows is None else caller_of(name, rows[0] if rows else None)

    def find(self, name: str, token: str) -> Caller:
        """Find a caller in a session of the database, to be called in a thread.

        Args:
            name: The header Auth-Id.
            token: The header Auth-Token.

        Raises:
            InvalidSession: The token is not, or no longer, that of a session of this name.
            ServerUnavailable: The database can't be reached.
        """
        return find_caller(self._engine, name, token)

    def close(self) -> None:
        """Close what is open."""
        self._direct.close()
