"""Remembers single values and a short history.

Takes: values by name, plain or JSON objects; events.
Gives: the same back.
Touches: the state database.
"""

import json
from collections.abc import Mapping
from typing import Any

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

    def fact(self, name: str) -> Mapping[str, Any]:
        """Read what is known under a name; empty where nothing is."""
        text = self.setting(name)
        return json.loads(text) if text else {}

    def set_fact(self, name: str, fact: Mapping[str, Any]) -> None:
        """Remember what is known under a name, in place of what was."""
        self.set_setting(name, json.dumps(fact))

    def update_fact(self, name: str, part: Mapping[str, Any]) -> None:
        """Change some of what is known under a name."""
        with self._db.transaction():
            self.set_fact(name, {**self.fact(name), **part})

    def note_server(self, url: str, now: float, reason: str = "") -> None:
        """Remember that the server answers, or the reason why not, and since when (epoch seconds) that is so."""
        before, up = self.fact("server"), not reason
        since = before["since"] if before.get("up") is up else now
        self.set_fact("server", {"url": url, "up": up, "since": since, "reason": reason})

    def drop_fact(self, name: str) -> None:
        """Forget what is known under a name."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM settings WHERE name = ?", (name,))

    def add_event(self, at: float, word: str, repo: str | None, text: str) -> None:
        """Add to the history; only the last ones are kept."""
        with self._db.transaction() as db:
            db.execute("INSERT INTO events (at, word, repo, text) VALUES (?, ?, ?, ?)", (at, word, repo, text))
            db.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (_EVENTS_KEPT,))

    def events(self, count: int) -> list[tuple[float, str, str | None, str]]:
        """List the last events, newest first: (epoch seconds, word, repository, text)."""
        rows = self._db.rows("SELECT at, word, repo, text FROM events ORDER BY id DESC LIMIT ?", (count,))
        return [(at, word, repo, text) for at, word, repo, text in rows]
