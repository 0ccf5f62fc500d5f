"""Remembers which records of the server can't be used, so that `status` and `check` tell of them."""

from collections.abc import Collection, Iterable

from packrat_agent.model.records import Rejection
from packrat_agent.state.database import Database

MIRROR = ""
"""Stands in a repository's place for the mirror's own records."""


class Rejections:
    """The records that can't be used."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def note(self, repo: str, rejections: Iterable[Rejection], asked: Collection[str] | None = None) -> None:
        """Remember what can't be used of a repository's records, in place of what was known.

        Args:
            repo: its name, or MIRROR.
            rejections: what was found.
            asked: the records that were looked at; None: all of the repository.
        """
        with self._db.transaction() as db:
            if asked is None:
                db.execute("DELETE FROM rejections WHERE repo = ?", (repo,))
            else:
                # Few are known, and very many may have been asked for.
                gone = [(repo, record) for record in self.known(repo) if record in asked]
                db.executemany("DELETE FROM rejections WHERE repo = ? AND record = ?", gone)
            db.executemany(
                "INSERT OR REPLACE INTO rejections (repo, record, reason) VALUES (?, ?, ?)",
                [(repo, rejection.record, rejection.reason) for rejection in rejections],
            )

    def known(self, repo: str) -> dict[str, str]:
        """Map the records of a repository that can't be used to why."""
        return dict(self._db.rows("SELECT record, reason FROM rejections WHERE repo = ?", (repo,)))
