"""Remembers the earlier publications of each section, and says which files no client can still want.

Takes: which publications were replaced, the rules, the moment.
Gives: the paths that may be removed, relative to `root_dir`: indexes before the package files that they name.
Touches: the state database.
"""

from packrat_agent.model.values import Retained, Retention
from packrat_agent.state.database import Database
from packrat_agent.state.retention import OldPublication, keep_publications

_NAMED = (
    "EXISTS (SELECT 1 FROM old_publications p WHERE p.repo = f.repo AND p.section = f.section AND p.on_disk "
    "AND p.generation >= f.first_generation AND p.generation < f.retired_generation)"
)
"""A publication on disk names the index file `f`."""

_EXPIRED_INDEXES = (
    "SELECT path FROM live_files f LEFT JOIN sections s ON s.repo = f.repo AND s.name = f.section "
    "WHERE f.retired_at IS NOT NULL AND f.section > '' AND (:repo IS NULL OR f.repo = :repo) AND CASE "
    "WHEN f.retired_generation = 0 THEN f.retired_at <= :withdrawn_before "
    f"WHEN f.retained = {Retained.FEW_GENERATIONS:d} "
    "THEN coalesce(s.generation - f.retired_generation, :keep_generations) >= :keep_generations "
    f"WHEN f.retained = {Retained.AS_INDEX:d} THEN NOT {_NAMED} "
    f"ELSE f.retired_at <= :withdrawn_before AND NOT {_NAMED} END ORDER BY path"
)
_EXPIRED_PACKAGES = (
    "SELECT path FROM live_files f WHERE f.section = '' AND f.retired_at <= :withdrawn_before AND NOT EXISTS "
    # The publications that were replaced by those which withdrew it are the last that named it.
    "(SELECT 1 FROM old_publications last JOIN old_publications p ON p.repo = last.repo AND p.section = last.section "
    "AND p.generation <= last.generation AND p.on_disk "
    "WHERE last.repo = f.repo AND last.replaced_at = f.retired_at) ORDER BY path"
)


class OldPublications:
    """The publications that others have replaced.

    An index file stays while a publication that names it does (state/retention.py has the rules); a withdrawn package
    file stays for its own period, and beyond that while an index on disk may name it.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def note_replaced(self, repo: str, section: str, generation: int, now: float) -> None:
        """Remember that a publication was replaced and left index files on disk."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO old_publications (repo, section, generation, replaced_at, on_disk) "
                "VALUES (?, ?, ?, ?, 1)",
                (repo, section, generation, now),
            )

    def drop(self, repo: str, section: str | None = None) -> None:
        """Forget the publications of a section that is no more, or of all of a repository; their files go by time."""
        with self._db.transaction() as db:
            where, values = ("repo = ?", [repo]) if section is None else ("repo = ? AND section = ?", [repo, section])
            db.execute(f"DELETE FROM old_publications WHERE {where}", values)
            db.execute(
                f"UPDATE live_files SET retired_generation = 0 WHERE {where} AND section > '' "
                "AND retired_at IS NOT NULL",
                values,
            )

    def expired(self, now: float, rule: Retention) -> list[str]:
        """List all files that no client can still want."""
        with self._db.transaction():
            values = self._thin_out(now, rule, None)
            indexes = self._db.rows(_EXPIRED_INDEXES, values)
            packages = self._db.rows(_EXPIRED_PACKAGES, values)
        return [path for (path,) in (*indexes, *packages)]

    def expired_indexes(self, repo: str, now: float, rule: Retention) -> list[str]:
        """List the index files of one repository that no client can still want."""
        with self._db.transaction():
            rows = self._db.rows(_EXPIRED_INDEXES, self._thin_out(now, rule, repo))
        return [path for (path,) in rows]

    def _thin_out(self, now: float, rule: Retention, repo: str | None) -> dict[str, object]:
        """Mark the publications that may go; gives the values of the queries."""
        self._mend_times(now)
        found: dict[tuple[str, str], list[tuple[OldPublication, bool]]] = {}
        for name, section, generation, replaced_at, on_disk in self._db.rows(
            "SELECT repo, section, generation, replaced_at, on_disk FROM old_publications "
            "WHERE :repo IS NULL OR repo = :repo ORDER BY generation",
            {"repo": repo},
        ):
            publication = OldPublication(generation, replaced_at)
            found.setdefault((name, section), []).append((publication, bool(on_disk)))
        with self._db.transaction() as db:
            for (name, section), publications in found.items():
                kept = keep_publications([publication for publication, _ in publications], now, rule)
                on_disk = [one.generation for one, is_there in publications if is_there and one.generation in kept]
                where = "repo = ? AND section = ? AND generation = ?"
                gone = [(name, section, one.generation) for one, _ in publications if one.generation not in kept]
                db.executemany(f"UPDATE old_publications SET on_disk = 0 WHERE {where} AND on_disk", gone)
                db.execute(
                    "DELETE FROM old_publications WHERE repo = ? AND section = ? AND generation < ?",
                    (name, section, on_disk[0] if on_disk else publications[-1][0].generation + 1),
                )
        return {
            "repo": repo,
            "withdrawn_before": now - rule.packages_s,
            "keep_generations": rule.keep_generations,
        }

    def _mend_times(self, now: float) -> None:
        """Let a period begin now that began, by a clock that was wrong, in the future."""
        with self._db.transaction() as db:
            db.execute("UPDATE live_files SET retired_at = ? WHERE retired_at > ?", (now, now))
            db.execute("UPDATE old_publications SET replaced_at = ? WHERE replaced_at > ?", (now, now))
