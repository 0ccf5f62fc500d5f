"""Remembers the repositories of the mirror."""

import json
from collections.abc import Collection, Sequence

from packrat_agent.model.records import DistroVersion, Repo
from packrat_agent.state.database import Database
from packrat_agent.state.revisions import Revisions


class Repos:
    """The repositories in the state database, as the server last described them."""

    def __init__(self, db: Database, revisions: Revisions) -> None:
        self._db = db
        self._revisions = revisions

    def save(self, repos: Sequence[Repo], staying: Collection[str] = ()) -> None:
        """Remember the mirror's repositories, and forget those it no longer has with their wanted files.

        `staying` names repositories that are left as they are.
        """
        with self._db.transaction() as db:
            names = {repo.name for repo in repos}.union(staying)
            for (name,) in db.execute("SELECT name FROM repos").fetchall():
                if name not in names:
                    self._revisions.advance(name)
                    db.execute("DELETE FROM repos WHERE name = ?", (name,))
                    db.execute("DELETE FROM rejections WHERE repo = ?", (name,))
            for repo in repos:
                distro_versions = json.dumps([[v.name, v.distro, v.version, v.file_type] for v in repo.distro_versions])
                db.execute(
                    "INSERT INTO repos (name, description, directory, kind, distro_versions, show_only_latest, tag) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                    "description = excluded.description, directory = excluded.directory, kind = excluded.kind, "
                    "distro_versions = excluded.distro_versions, show_only_latest = excluded.show_only_latest, "
                    "tag = excluded.tag",
                    (
                        *(repo.name, repo.description, repo.directory, repo.kind, distro_versions),
                        *(repo.show_only_latest, repo.tag),
                    ),
                )

    def all(self) -> tuple[Repo, ...]:
        """List the repositories as last asked."""
        rows = self._db.rows(
            "SELECT name, description, directory, kind, distro_versions, show_only_latest, tag FROM repos ORDER BY name"
        )
        return tuple(
            Repo(
                *(name, description, directory, kind),
                tuple(DistroVersion(*v) for v in json.loads(versions)),
                bool(latest),
                tag,
            )
            for name, description, directory, kind, versions, latest, tag in rows
        )
