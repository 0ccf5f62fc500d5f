"""Remembers the earlier generations of each publication, and says which files no client can still want.

The rules are in state/retention.py. Indexes come before the package files that they name. Periods are those of the time
of day, since it goes on while the machine is off. If it jumps while the machine runs, `follow_clock` moves the noted
times by as much: a clock that is a year ahead for a minute takes nothing away from clients.
"""

import sqlite3

from packrat_agent.model.changes import Retention
from packrat_agent.model.tree import Retained
from packrat_agent.state.database import Database
from packrat_agent.state.fact_table import Facts
from packrat_agent.state.facts import RetentionTime, SteadyTime
from packrat_agent.state.retention import Generation, choose_generations
from packrat_agent.state.steady_clock import SteadyClock

_NAMED = (
    "EXISTS (SELECT 1 FROM generations p WHERE p.repo = f.repo AND p.publication = f.publication AND p.on_disk "
    "AND p.generation >= f.first_generation AND p.generation < f.withdrawn_generation)"
)
"""A generation on disk names the index file `f`."""

_EXPIRED_INDEXES = (
    # For the order of its rows, SQLite would read the whole table: it has a row for each package file.
    "SELECT path FROM live_files f INDEXED BY live_files_withdrawn "
    "LEFT JOIN publications s ON s.repo = f.repo AND s.name = f.publication "
    "WHERE f.withdrawn_at IS NOT NULL AND f.publication > '' AND (:repo IS NULL OR f.repo = :repo) AND CASE "
    "WHEN f.withdrawn_generation = 0 THEN f.withdrawn_at <= :withdrawn_before "
    f"WHEN f.retained = {Retained.FEW_GENERATIONS:d} "
    "THEN coalesce(s.generation - f.withdrawn_generation, :keep_generations) >= :keep_generations "
    f"WHEN f.retained = {Retained.AS_INDEX:d} THEN NOT {_NAMED} "
    f"ELSE f.withdrawn_at <= :withdrawn_before AND NOT {_NAMED} END ORDER BY path"
)
_JUMP_S = 60.0
"""A larger difference between the two clocks is a jump; a smaller one may come of how time is kept."""
_EXPIRED_PACKAGES = (
    "SELECT path FROM live_files f WHERE f.publication = '' AND f.withdrawn_at <= :withdrawn_before AND NOT EXISTS "
    # The generations that were replaced by those which withdrew it are the last that named it. While they are known,
    # they or older ones are on disk: `_thin_out` deletes the rest.
    "(SELECT 1 FROM generations last WHERE last.repo = f.repo AND last.replaced_at = f.withdrawn_at) ORDER BY path"
)


class Generations:
    """The replaced generations in the state database.

    An index file stays while a generation that names it does (state/retention.py has the rules); a withdrawn package
    file stays for its own period, and beyond that while an index on disk may name it.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def note_replaced(self, repo: str, publication: str, generation: int, now: float) -> None:
        """Remember that a generation was replaced and left index files on disk.

        Args:
            repo: The name of the repository.
            publication: The name of the publication.
            generation: Its number.
            now: When it was replaced, in epoch seconds.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO generations (repo, publication, generation, replaced_at, on_disk) "
                "VALUES (?, ?, ?, ?, 1)",
                (repo, publication, generation, now),
            )

    def drop(self, repo: str, publication: str | None = None) -> None:
        """Forget the generations of a publication that ended, or of a repository; their files go by age alone."""
        with self._db.transaction() as db:
            where, values = (
                ("repo = ?", [repo]) if publication is None else ("repo = ? AND publication = ?", [repo, publication])
            )
            db.execute(f"DELETE FROM generations WHERE {where}", values)
            db.execute(
                f"UPDATE live_files SET withdrawn_generation = 0 WHERE {where} AND publication > '' "
                "AND withdrawn_at IS NOT NULL",
                values,
            )

    def follow_clock(self, now: float, clock: SteadyClock, facts: Facts) -> None:
        """Move the times at which files were withdrawn as the time of day has jumped since the last call.

        Where it jumps back further than it was seen to jump ahead, it may have been ahead since the machine started, by
        a clock without battery or of another time zone. What was noted before that is right then, and stays.

        Args:
            now: The time of day.
            clock: The clock that does not jump.
            facts: Have the last call.
        """
        with self._db.transaction() as db:
            known, at, steady = facts.read(RetentionTime), clock.now(), facts.read(SteadyTime)
            boot = steady.boot if steady is not None else None
            passed_s, jump_s, is_same_run = 0.0, 0.0, False
            since, ahead_s = now, 0.0
            if known is not None and known.at is not None and known.wall is not None:
                passed_s = at - known.at
                jump_s = (now - known.wall) - passed_s
                is_same_run = bool(boot) and boot == known.boot
                if is_same_run:
                    since, ahead_s = known.since or now, known.ahead or 0.0
            if jump_s > _JUMP_S:
                _move(db, "", {"all_s": jump_s})
                since, ahead_s = since + jump_s, ahead_s + jump_s
            elif jump_s < -_JUMP_S and is_same_run:
                back_s = min(-jump_s, ahead_s)
                rest_s = -jump_s - back_s
                # What was noted since it jumped back is right already, and looks no older than the last call.
                where = "AND {column} NOT BETWEEN :began AND :now"
                values = {"all_s": -back_s, "rest_s": -rest_s, "since": since, "began": now - passed_s, "now": now}
                _move(db, where, values)
                since, ahead_s = now if rest_s else since - back_s, ahead_s - back_s
            facts.write(RetentionTime(at, now, boot, since, ahead_s))

    def expired(self, now: float, rule: Retention) -> list[str]:
        """List all files that no client can still want."""
        with self._db.transaction():
            values = self._thin_out(now, rule, None)
            indexes = self._db.rows(_EXPIRED_INDEXES, values)
            packages = self._db.rows(_EXPIRED_PACKAGES, values)
        return [path for (path,) in (*indexes, *packages)]

    def expired_indexes(self, repo: str, now: float, rule: Retention) -> list[str]:
        """List the index files of one repository that no client can still want.

        Args:
            repo: The name of the repository.
            now: The date, in epoch seconds.
            rule: How long earlier generations stay.
        """
        with self._db.transaction():
            rows = self._db.rows(_EXPIRED_INDEXES, self._thin_out(now, rule, repo))
        return [path for (path,) in rows]

    def _thin_out(self, now: float, rule: Retention, repo: str | None) -> dict[str, object]:
        """Mark the generations that may go, and give the values of the queries."""
        self._mend_times(now)
        found: dict[tuple[str, str], list[tuple[Generation, bool]]] = {}
        for name, publication, generation, replaced_at, on_disk in self._db.rows(
            "SELECT repo, publication, generation, replaced_at, on_disk FROM generations "
            "WHERE :repo IS NULL OR repo = :repo ORDER BY generation",
            {"repo": repo},
        ):
            found.setdefault((name, publication), []).append((Generation(generation, replaced_at), bool(on_disk)))
        with self._db.transaction() as db:
            for (name, publication), known in found.items():
                kept = choose_generations([generation for generation, _ in known], now, rule)
                on_disk = [old.number for old, is_there in known if is_there and old.number in kept]
                where = "repo = ? AND publication = ? AND generation = ?"
                gone = [
                    (name, publication, old.number) for old, is_there in known if is_there and old.number not in kept
                ]
                db.executemany(f"UPDATE generations SET on_disk = 0 WHERE {where}", gone)
                db.execute(
                    "DELETE FROM generations WHERE repo = ? AND publication = ? AND generation < ?",
                    (name, publication, on_disk[0] if on_disk else known[-1][0].number + 1),
                )
        return {
            "repo": repo,
            "withdrawn_before": now - rule.packages_s,
            "keep_generations": rule.keep_generations,
        }

    def _mend_times(self, now: float) -> None:
        """Let periods begin now that began in the future, by a clock that was wrong."""
        with self._db.transaction() as db:
            db.execute("UPDATE live_files SET withdrawn_at = ? WHERE withdrawn_at > ?", (now, now))
            db.execute("UPDATE generations SET replaced_at = ? WHERE replaced_at > ?", (now, now))


def _move(db: sqlite3.Connection, where: str, values: dict[str, float]) -> None:
    """Move all times by `all_s` seconds, and those from `since` on by `rest_s` more.

    Args:
        db: The state database.
        where: What holds for the times that are moved; {column} stands for the time.
        values: Those above, and what `where` has.
    """
    values = {"rest_s": 0.0, "since": 0.0, **values}
    for table, column in (("live_files", "withdrawn_at"), ("generations", "replaced_at")):
        by = f":all_s + CASE WHEN {column} >= :since THEN :rest_s ELSE 0 END"
        found = f"{column} IS NOT NULL {where.format(column=column)}"
        db.execute(f"UPDATE {table} SET {column} = {column} + {by} WHERE {found}", values)
