"""Remembers which files the server took away without saying why: what went in the last day, and what is held back.

Times are those of the steady clock.
"""

import math
from collections.abc import Collection, Sequence

from packrat_agent.state.database import Database
from packrat_agent.state.file_state import FileState
from packrat_agent.state.steady_clock import SteadyClock

DAY_S = 86400.0
LET_GO = -math.inf
"""Stands for the date of a held file that is to go at the next sync, whatever the server says of it."""
_REPO_ITSELF = ""
"""Stands in a URI's place for a repository that left the mirror."""
_IS_LIVE = "EXISTS (SELECT 1 FROM files WHERE files.repo = removals.repo AND files.uri = removals.uri AND state = ?)"


class Removals:
    """The removals in the state database."""

    def __init__(self, db: Database, clock: SteadyClock) -> None:
        self._db = db
        self.clock = clock

    def gone(self, repo: str | None, now: float) -> int:
        """Count the files of a repository (None: of all) that went in the last day, and did not come back."""
        where, values = ("", ()) if repo is None else (" AND repo = ?", (repo,))
        sql = f"SELECT count(*) FROM removals WHERE NOT held AND at > ?{where} AND NOT {_IS_LIVE}"
        return int(self._db.rows(sql, (now - DAY_S, *values, FileState.LIVE))[0][0])

    def gone_uris(self, repo: str, now: float) -> list[str]:
        """List the URIs of those."""
        sql = f"SELECT uri FROM removals WHERE NOT held AND at > ? AND repo = ? AND NOT {_IS_LIVE}"
        return [uri for (uri,) in self._db.rows(sql, (now - DAY_S, repo, FileState.LIVE))]

    def note_gone(self, repo: str, uris: Collection[str], now: float) -> None:
        """Note that files go; those that went more than a day ago are forgotten.

        Args:
            repo: The name of the repository.
            uris: The files.
            now: When they go, in epoch seconds.
        """
        with self._db.transaction() as db:
            db.execute("DELETE FROM removals WHERE NOT held AND at <= ?", (now - DAY_S,))
            self._write(repo, uris, now, held=False)

    def forget(self, repo: str, uris: Collection[str]) -> None:
        """Forget files that were taken away on purpose."""
        self._db.write_rows("DELETE FROM removals WHERE repo = ? AND uri = ?", ((repo, uri) for uri in uris))

    def held(self, repo: str) -> dict[str, float]:
        """Map the URIs of live files that are held back to since when."""
        sql = f"SELECT uri, at FROM removals WHERE held AND repo = ? AND {_IS_LIVE}"
        return dict(self._db.rows(sql, (repo, FileState.LIVE)))

    def count_live(self, repo: str, distro_version: str, held_until: float | None = None) -> int:
        """Count the live files of a distribution version.

        Args:
            repo: The name of the repository.
            distro_version: The name of the version.
            held_until: Only those that have been held back since then or longer; None: all.
        """
        sql = "SELECT count(*) FROM files WHERE repo = ? AND distro_version = ? AND state = ?"
        values: tuple[object, ...] = (repo, distro_version, FileState.LIVE)
        if held_until is not None:
            sql += " AND EXISTS (SELECT 1 FROM removals WHERE (removals.repo, removals.uri) = (files.repo, files.uri)"
            sql += " AND held AND at <= ?)"
            values += (held_until,)
        return int(self._db.rows(sql, values)[0][0])

    def hold(self, repo: str, uris: Collection[str], now: float) -> None:
        """Make these the files that are held back; those that were before keep their dates.

        Args:
            repo: The name of the repository.
            uris: The files; none ends it.
            now: When they are held back, in epoch seconds.
        """
        before = self.held(repo)
        with self._db.transaction() as db:
            sql = "DELETE FROM removals WHERE held AND repo = ? AND uri <> ?"
            db.execute(sql, (repo, _REPO_ITSELF))
            for uri in uris:
                self._write(repo, [uri], before.get(uri, now), held=True)

    def let_go(self, repo: str, uris: Collection[str]) -> None:
        """Let held files go at the next sync, which counts them as confirmed (`LET_GO`)."""
        self._write(repo, uris, LET_GO, held=True)

    def repo_held_since(self, repo: str) -> float | None:
        """Say since when a repository stays though the mirror has it no more; None if it does not."""
        rows = self._db.rows("SELECT at FROM removals WHERE held AND repo = ? AND uri = ?", (repo, _REPO_ITSELF))
        return rows[0][0] if rows else None

    def held_repos(self) -> frozenset[str]:
        """Name the repositories that stay though the mirror has them no more."""
        rows = self._db.rows("SELECT repo FROM removals WHERE held AND uri = ?", (_REPO_ITSELF,))
        return frozenset(repo for (repo,) in rows)

    def hold_repos(self, repos: Collection[str], now: float) -> None:
        """Make these the repositories that stay though the mirror has them no more; dates that are there stay."""
        with self._db.transaction() as db:
            sql = "SELECT repo FROM removals WHERE held AND uri = ?"
            before: Sequence[tuple[str]] = db.execute(sql, (_REPO_ITSELF,)).fetchall()
            for (repo,) in before:
                if repo not in repos:
                    self.forget(repo, [_REPO_ITSELF])
            for repo in set(repos).difference(repo for (repo,) in before):
                self._write(repo, [_REPO_ITSELF], now, held=True)

    def _write(self, repo: str, uris: Collection[str], at: float, *, held: bool) -> None:
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO removals (repo, uri, at, held) VALUES (?, ?, ?, ?)",
                [(repo, uri, at, held) for uri in uris],
            )
