"""Remembers the tag by which the key of each repository is chosen, so that another tag changes no key unseen."""

from collections.abc import Iterable

from packrat_agent.model.records import Repo
from packrat_agent.state.database import Database


class KnownTags:
    """The tags in the state database; they stay when a repository leaves the mirror, since it may come back."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, repo: Repo) -> frozenset[str]:
        """Give the tags that were known of a repository of this name, and of others in its directory."""
        rows = self._db.rows("SELECT tag FROM known_tags WHERE repo = ? OR directory = ?", (repo.name, repo.directory))
        return frozenset(tag for (tag,) in rows)

    def note(self, repos: Iterable[Repo]) -> None:
        """Remember the tags of repositories; whatever else was in the directory of one of them is forgotten."""
        with self._db.transaction() as db:
            for repo in repos:
                if repo.tag:
                    db.execute(
                        "DELETE FROM known_tags WHERE repo = ? OR directory = ?",
                        (repo.name, repo.directory),
                    )
                    db.execute(
                        "INSERT INTO known_tags (repo, directory, tag) VALUES (?, ?, ?)",
                        (repo.name, repo.directory, repo.tag),
                    )
