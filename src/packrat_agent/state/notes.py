"""Remembers single values and a short history.

Takes: values by name; events.
Gives: the same back.
Touches: the state database.
"""

from packrat_agent.state.database import Database

_EVENTS_KEPT = 1000


class Notes:
    """Settings and events of the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def setting(self, name: str) -> str | None:
        """Read a single value."""
        rows = self._db.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_setting(self, name: str, value: str) -> None:
        """Remember a single value."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def add_event(self, at: float, word: str, repo: str | None, text: str) -> None:
        """Add to the history; only the last ones are kept."""
        with self._db.transaction() as db:
            db.execute("INSERT INTO events (at, word, repo, text) VALUES (?, ?, ?, ?)", (at, word, repo, text))
            db.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (_EVENTS_KEPT,))

    def events(self, count: int) -> list[tuple[float, str, str | None, str]]:
        """List the last events, newest first: (epoch seconds, word, repository, text)."""
        rows = self._db.rows("SELECT at, word, repo, text FROM events ORDER BY id DESC LIMIT ?", (count,))
        return [(at, word, repo, text) for at, word, repo, text in rows]
