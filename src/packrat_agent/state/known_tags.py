"""Remembers the tags by which keys are chosen, so that a change of tag can't change a key unnoticed.

1. The tag of a name and that of a directory are remembered apart: clients of both rely on the key, and a repository may
   move to another directory, or give its directory to another one.
2. Nothing is forgotten, since whatever left the mirror may come back. At `LIMIT` no more is remembered.
"""

from collections.abc import Iterable

from packrat_agent.model.records import Repo
from packrat_agent.state.database import Database

LIMIT = 100_000
"""The most names and directories that are remembered: those of 25 mirrors of the largest size, one after the other."""


class KnownTags:
    """The tags in the state database."""

    def __init__(self, db: Database, limit: int = LIMIT) -> None:
        self._db = db
        self._limit = limit

    def of(self, repo: Repo) -> frozenset[str]:
        """Give the tags that repositories of this name and in this directory had last."""
        rows = self._db.rows("SELECT tag FROM known_tags WHERE (kind, name) IN (VALUES (?, ?), (?, ?))", _values(repo))
        return frozenset(tag for (tag,) in rows)

    def can_remember(self, repo: Repo) -> bool:
        """Whether name and directory of a repository are remembered, or there is room for them."""
        sql = "SELECT count(*) FROM known_tags WHERE (kind, name) IN (VALUES (?, ?), (?, ?))"
        missing = 2 - int(self._db.rows(sql, _values(repo))[0][0])
        return missing == 0 or self._room() >= missing

    def note(self, repos: Iterable[Repo]) -> None:
        """Remember the tags of repositories, in place of the former ones of their names and directories."""
        with self._db.transaction() as db:
            room = self._room()
            for repo in repos:
                if not repo.tag:
                    continue
                for kind, name in (("repo", repo.name), ("directory", repo.directory)):
                    sql = "UPDATE known_tags SET tag = ? WHERE kind = ? AND name = ?"
                    if db.execute(sql, (repo.tag, kind, name)).rowcount == 0 and room > 0:
                        sql = "INSERT INTO known_tags (kind, name, tag) VALUES (?, ?, ?)"
                        db.execute(sql, (kind, name, repo.tag))
                        room -= 1

    def _room(self) -> int:
        return self._limit - int(self._db.rows("SELECT count(*) FROM known_tags")[0][0])


def _values(repo: Repo) -> tuple[str, str, str, str]:
    return "repo", repo.name, "directory", repo.directory
