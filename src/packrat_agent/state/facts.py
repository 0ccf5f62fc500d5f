"""Remembers facts and a short history.

Takes: facts (JSON objects) by name; events.
Gives: the facts back; `status` reads the events.
Touches: the state database.
"""

import json
from collections.abc import Mapping
from typing import Any

from packrat_agent.state.database import Database

_EVENTS_KEPT = 1000


class Notes:
    """Facts and events of the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def fact(self, name: str) -> Mapping[str, Any]:
        """Read what is known under a name; empty where nothing is."""
        rows = self._db.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows and rows[0][0] else {}

    def set_fact(self, name: str, fact: Mapping[str, Any]) -> None:
        """Remember what is known under a name, in place of what was."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(fact)))

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
