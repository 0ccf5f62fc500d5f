"""Finds out who downloads and whether the caller may see the file, as the database has it at that moment.

Nothing is remembered: a session that was ended, a tag that was taken off and a repository that was taken from a mirror
count from the next download on, whichever process made the change.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, select

from packrat_server.accounts.sessions import Caller, caller_of, digest
from packrat_server.accounts.visibility import served_file
from packrat_server.store.database import reading
from packrat_server.store.direct_reads import DirectQuery, DirectReads
from packrat_server.store.tables import package_files
from packrat_server.store.text import is_storable


@dataclass(frozen=True, slots=True)
class Download:
    """Who asks, and the SHA-256 of the file; None where the caller may see none of that name."""

    caller: Caller
    sha256: str | None


class Downloads:
    """Finds what is downloaded."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._query = DirectQuery(served_file(), engine)
        self._direct = DirectReads(engine)

    def find_now(self, name: str, token: str, file_name: str) -> Download | None:
        """Find a download in the event loop, without waiting; None where that is not possible.

        Args:
            name: The header Auth-Id.
            token: The header Auth-Token.
            file_name: The name of the file.

        Raises:
            InvalidSession: The token is not, or no longer, that of a session of this name.
        """
        rows = self._direct.rows(self._query, _parameters(token, file_name))
        return None if rows is None else _download(name, rows)

    def find(self, name: str, token: str, file_name: str) -> Download:
        """Find a download in a session of the database, to be called in a thread.

        Args:
            name: The header Auth-Id.
            token: The header Auth-Token.
            file_name: The name of the file.

        Raises:
            InvalidSession: The token is not, or no longer, that of a session of this name.
            ServerUnavailable: The database can't be reached.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(self._query.query, _parameters(token, file_name)).all()
        return _download(name, [tuple(row) for row in rows])

    def find_public(self, file_name: str) -> str | None:
        """Find the SHA-256 of a file of a public server; None where there is none of that name.

        Raises:
            ServerUnavailable: The database can't be reached.
        """
        query = select(package_files.c.sha256).where(package_files.c.file_name == file_name).limit(1)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar() if is_storable(file_name) else None

    def close(self) -> None:
        """Close what is open."""
        self._direct.close()


def _parameters(token: str, file_name: str) -> dict[str, bytes | str]:
    # No file has the empty name.
    return {"token_hash": digest(token), "file_name": file_name if is_storable(file_name) else ""}


def _download(name: str, rows: list[tuple[str, str, float, str, str | None]]) -> Download:
    caller = caller_of(name, rows[0][:4] if rows else None)
    return Download(caller, rows[0][4])
