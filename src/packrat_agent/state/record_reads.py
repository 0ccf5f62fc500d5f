"""Remembers when each record of a package file was last read, and from when on the server's records are trusted.

1. The record of a package file never changes on the server, so a record that was read is not read again by a sync.
2. A server that was rebuilt, restored from a backup or exchanged for another one gives its URIs to other files. At a
   sign of that, `distrust` is called: records that were read earlier count as unread from then on.
3. A record that differs from what was read under its URI is such a sign, unless that one was distrusted already.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import structlog

from packrat_agent.model.records import PackageFile
from packrat_agent.state.database import Database
from packrat_agent.state.fact_table import Facts
from packrat_agent.state.facts import TrustedRecords
from packrat_agent.state.file_rows import FILE_COLUMNS, insert_files, read_file

log = structlog.get_logger()

_MANY = 500
NOWHERE: Mapping[str, str] = {}
"""No file has a known place."""


class RecordReads:
    """The dates in the state database; epoch seconds."""

    def __init__(self, db: Database, facts: Facts) -> None:
        self._db = db
        self._facts = facts
        self.on_distrust: Callable[[], None] = lambda: None
        """Called, in any thread, when records that were trusted must be read again."""

    def trust_server(self, url: str, now: float) -> None:
        """Distrust everything that another server said; to be called before the server at `url` is asked."""
        known = self._facts.read(TrustedRecords)
        if known is None or known.server is None:
            # Records without a date are read again anyway.
            self._facts.write(TrustedRecords(known.since if known else 0.0, url))
        elif known.server != url:
            self._facts.write(TrustedRecords(now, url))
            log.info("reread", server=url, text="mirror.conf names another server: all records are read again")

    def distrust(self, asked_at: float, reason: str = "") -> None:
        """Have all records that were read before `asked_at` read again; with a reason, tell of it in the log.

        Raises:
            DiskError: It can't be written.
        """
        known = self._facts.read(TrustedRecords)
        if asked_at <= self._since():
            return
        self._facts.write(TrustedRecords(asked_at, known.server if known else None))
        if reason:
            log.info("reread", reason=reason, text="all records are read again")
        self.on_distrust()

    def unread(self, repo: str, now: float) -> frozenset[str]:
        """Give the URIs of a repository's known files whose records must be read again before they are used.

        Dates that lie in the future come from a clock that was wrong, and say nothing.

        Args:
            repo: The name of the repository.
            now: The moment, in epoch seconds.
        """
        sql = "SELECT uri FROM files WHERE repo = ? AND (read_at < ? OR read_at > ?)"
        return frozenset(uri for (uri,) in self._db.rows(sql, (repo, self._since(), now)))

    def are_trusted(self, repo: str, uris: Sequence[str], now: float) -> bool:
        """Say whether all of some URIs are of known files whose records are trusted.

        Args:
            repo: The name of the repository.
            uris: The URIs, each once.
            now: As for `known_among`.
        """
        since = self._since()
        for portion in _portions(uris):
            where, values = _among(portion)
            sql = f"SELECT count(*) FROM files WHERE repo = ?{where} AND read_at >= ? AND read_at <= ?"
            if self._db.rows(sql, (repo, *values, since, now))[0][0] != len(portion):
                return False
        return True

    def known_among(self, repo: str, uris: Sequence[str], now: float) -> dict[str, bool]:
        """Map those of some URIs that are of known files to whether their records are trusted.

        Args:
            repo: The name of the repository.
            uris: The URIs.
            now: The moment, in epoch seconds; dates that lie in its future say nothing.
        """
        since = self._since()
        found: dict[str, bool] = {}
        for portion in _portions(uris):
            where, values = _among(portion)
            for uri, read_at in self._db.rows(f"SELECT uri, read_at FROM files WHERE repo = ?{where}", (repo, *values)):
                found[uri] = since <= read_at <= now
        return found

    def read_among(self, repo: str, uris: Sequence[str]) -> list[PackageFile]:
        """Give the known records of some URIs, in their order."""
        known: dict[str, PackageFile] = {}
        for portion in _portions(uris):
            where, values = _among(portion)
            for row in self._db.rows(f"SELECT {FILE_COLUMNS} FROM files WHERE repo = ?{where}", (repo, *values)):
                known[row[0]] = read_file(row)
        return [known[uri] for uri in uris if uri in known]

    def packages_of(self, repo: str, uris: Collection[str]) -> frozenset[str]:
        """Name the packages of those of some URIs that are of known files."""
        where, values = _among(tuple(uris))
        rows = self._db.rows(f"SELECT DISTINCT package FROM files WHERE repo = ?{where}", (repo, *values))
        return frozenset(package for (package,) in rows)

    def is_trusted(self, read_at: float) -> bool:
        """Say whether a record that was read at that moment is trusted."""
        return read_at >= self._since()

    def dates(self, repo: str) -> dict[str, float]:
        """Map the URIs of a repository's known files to when their records were last read."""
        return dict(self._db.rows("SELECT uri, read_at FROM files WHERE repo = ?", (repo,)))

    def note_unless_other(
        self, repo: str, files: Sequence[PackageFile], asked_at: float, places: Mapping[str, str] = NOWHERE
    ) -> int | None:
        """Call `note`, unless a record differs from what is known under its URI: then remember none and give None.

        Args:
            repo: The name of the repository.
            files: The records.
            asked_at: When the server was asked for them.
            places: As for `note`.

        Raises:
            DiskError: The state database can't be written.
        """
        with self._db.transaction():
            known = self._known(repo, files)
            if any(file.uri in known and known[file.uri][0] != file for file in files):
                return None
            return self._note(repo, files, known, asked_at, places)

    def note(
        self, repo: str, files: Sequence[PackageFile], asked_at: float, places: Mapping[str, str] = NOWHERE
    ) -> int:
        """Remember records that a sync has read; gives how many are of files that were not known.

        Args:
            repo: The name of the repository.
            files: The records.
            asked_at: When the server was asked for them.
            places: URI → where the file goes, relative to `root_dir`; it is remembered of files that are new.

        Raises:
            DiskError: The state database can't be written.
        """
        with self._db.transaction():
            return self._note(repo, files, self._known(repo, files), asked_at, places)

    def _note(
        self,
        repo: str,
        files: Sequence[PackageFile],
        known: Mapping[str, tuple[PackageFile, float]],
        asked_at: float,
        places: Mapping[str, str],
    ) -> int:
        new = {file.uri: file for file in files if known.get(file.uri, (None, 0.0))[0] != file}
        with self._db.transaction() as db:
            insert_files(db, repo, new.values(), asked_at, places)
            self._set_dates(repo, [file.uri for file in files if file.uri not in new], asked_at)
            differing = [uri for uri in new if uri in known]
            self._distrust_if_other(differing, known, asked_at)
        return len(new) - len(differing)

    def confirm(self, repo: str, files: Sequence[PackageFile], asked_at: float) -> None:
        """Compare records that were read beside the syncs with the known ones; distrust all if one differs.

        What differs is left to the next sync, which reads it again.

        Args:
            repo: The name of the repository.
            files: The records.
            asked_at: When the server was asked for them.

        Raises:
            DiskError: The state database can't be written.
        """
        with self._db.transaction():
            known = self._known(repo, files)
            same = [file.uri for file in files if file.uri in known and known[file.uri][0] == file]
            self._set_dates(repo, same, asked_at)
            differing = [file.uri for file in files if file.uri in known and known[file.uri][0] != file]
            self._distrust_if_other(differing, known, asked_at)

    def _distrust_if_other(
        self, differing: Sequence[str], known: Mapping[str, tuple[PackageFile, float]], asked_at: float
    ) -> None:
        # What was not trusted anyway says nothing new about the rest.
        if any(self.is_trusted(known[uri][1]) for uri in differing):
            self.distrust(asked_at, f"{differing[0]} is another file than before")

    def _since(self) -> float:
        known = self._facts.read(TrustedRecords)
        return (known.since or 0.0) if known is not None else 0.0

    def _set_dates(self, repo: str, uris: Collection[str], at: float) -> None:
        with self._db.transaction() as db:
            db.executemany("UPDATE files SET read_at = ? WHERE repo = ? AND uri = ?", [(at, repo, uri) for uri in uris])

    def _known(self, repo: str, files: Sequence[PackageFile]) -> dict[str, tuple[PackageFile, float]]:
        found: dict[str, tuple[PackageFile, float]] = {}
        for uris in _portions([file.uri for file in files]):
            where, values = _among(uris)
            sql = f"SELECT {FILE_COLUMNS}, read_at FROM files WHERE repo = ?{where}"
            for *columns, read_at in self._db.rows(sql, (repo, *values)):
                found[columns[0]] = (read_file(columns), read_at)
        return found


def _among(uris: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    return f" AND uri IN ({', '.join('?' * len(uris))})", tuple(uris)


def _portions(uris: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uris), _MANY):
        yield uris[start : start + _MANY]
