"""Keeps the short history that `status` shows."""

from packrat_agent.state.database import Database

_EVENTS_KEPT = 1000


class Events:
    """The history in the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, at: float, word: str, repo: str | None, text: str) -> None:
        """Add one event; only the last ones are kept.

        Args:
            at: The moment, in epoch seconds.
            word: What happened, in the words of the log.
            repo: The repository that it concerns; None: all of the mirror.
            text: The rest of the line.
        """
        with self._db.transaction() as db:
            db.execute("INSERT INTO events (at, word, repo, text) VALUES (?, ?, ?, ?)", (at, word, repo, text))
            db.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (_EVENTS_KEPT,))
