"""Remembers which package files the server wants, and what was read of them."""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from packrat_agent.model.entries import Entry, Fragment, Refusal
from packrat_agent.model.records import PackageFile, Wanted
from packrat_agent.state.database import Database
from packrat_agent.state.file_rows import (
    FILE_COLUMN_COUNT,
    FILE_COLUMNS,
    Selection,
    Uris,
    about,
    insert_files,
    portions_of,
    read_file,
)
from packrat_agent.state.file_state import FileState, Unreadable
from packrat_agent.state.fragments import FragmentSource, read_fragment
from packrat_agent.state.listed_uris import missing_from

_MANY = 500
_PAGE = 5000
"""Number of URIs that are held in memory at a time."""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One wanted package file with what is remembered of it.

    path: where it was to stand at the last sync, relative to `root_dir`; '' if it had no place yet. reason: why it is
    not live, '' if there is nothing to tell.
    """

    file: PackageFile
    path: str = ""
    state: FileState = FileState.WANTED
    reason: str = ""
    unreadable: Unreadable = Unreadable.NO


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A package file that an index names: its record, its bytes, and its place relative to `root_dir`.

    Two that differ in their mark alone are equal.
    """

    uri: str
    sha256: str
    path: str
    file_name: str
    yanked: bool = field(default=False, compare=False)


class WantedFiles:
    """The wanted files of the repositories in the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def known(self, repo: str, selection: Selection | None) -> dict[str, PackageFile]:
        """Map the URIs of a repository's wanted files (all, or some) to what they are."""
        found: dict[str, PackageFile] = {}
        for files, where, values in portions_of(selection):
            sql = f"SELECT {FILE_COLUMNS} FROM {files} WHERE repo = ?{where}"
            for row in self._db.rows(sql, (repo, *values)):
                found[row[0]] = read_file(row)
        return found

    def count(self, repo: str, selection: Selection | None) -> int:
        """Count a repository's wanted files, all or some."""
        return sum(
            self._db.rows(f"SELECT count(*) FROM {files} WHERE repo = ?{where}", (repo, *values))[0][0]
            for files, where, values in portions_of(selection)
        )

    def uris(self, repo: str, selection: Selection | None, state: FileState | None = None) -> Iterator[list[str]]:
        """Give the URIs of a repository's wanted files, some at a time.

        Args:
            repo: The name of the repository.
            selection: The files that are asked for; None: all.
            state: Only those in this state; None: in any.
        """
        narrow, state_values = ("", ()) if state is None else (" AND state = ?", (state,))
        for files, where, values in portions_of(selection):
            after = ""
            while True:
                sql = f"SELECT uri FROM {files} WHERE repo = ? AND uri > ?{narrow}{where} ORDER BY uri LIMIT {_PAGE}"
                rows = self._db.rows(sql, (repo, after, *state_values, *values))
                if not rows:
                    break
                after = rows[-1][0]
                yield [uri for (uri,) in rows]

    def remember_wanted(self, repo: str, wanted: Wanted, packages: Collection[str] | None) -> None:
        """Make the rows of a repository what the server just said.

        A row whose record changed starts again as wanted; one that was only yanked, or is no longer, stays as it is.

        Args:
            repo: The name of the repository.
            wanted: The server's answer.
            packages: The packages that were asked for; None: all.
        """
        selection = about(packages, wanted.touched)
        with self._db.transaction() as db:
            for uris in () if wanted.names_all_known else self.uris(repo, selection):
                gone = [(repo, uri) for uri in missing_from(wanted.uris, uris)]
                db.executemany("DELETE FROM files WHERE repo = ? AND uri = ?", gone)
            if wanted.files:
                known = self.known(repo, selection)
                insert_files(db, repo, [file for file in wanted.files if known.get(file.uri) != file], time.time(), {})
            for marks in () if wanted.yanked is None else self._other_marks(repo, selection, wanted.yanked):
                db.executemany("UPDATE files SET yanked = ? WHERE repo = ? AND uri = ?", marks)

    def are_marks_other(self, repo: str, selection: Selection | None, yanked: Collection[str] | None) -> bool:
        """Say whether other files than `yanked` are known as yanked.

        Args:
            repo: The name of the repository.
            selection: The files that it is about; None: all.
            yanked: The URIs of the yanked files; None where there is no such mark.
        """
        return yanked is not None and any(True for _ in self._other_marks(repo, selection, yanked))

    def changed_marks(self, repo: str, wanted: Wanted, packages: Collection[str] | None) -> dict[str, bool]:
        """Map the URI of each file whose mark the server has changed to whether it is known as yanked.

        Args:
            repo: The name of the repository.
            wanted: The server's answer.
            packages: The packages that were asked for; None: all.
        """
        if wanted.yanked is None:
            return {}
        others = self._other_marks(repo, about(packages, wanted.touched), wanted.yanked)
        return {uri: not mark for marks in others for mark, _, uri in marks}

    def _other_marks(
        self, repo: str, selection: Selection | None, yanked: Collection[str]
    ) -> Iterator[list[tuple[bool, str, str]]]:
        """Give (yanked, repository, URI) of the known files that are not marked so, some at a time."""
        # Most repositories have no yanked files: then only those with a mark are looked at.
        narrow = "" if len(yanked) else " AND yanked = 1"
        for files, where, values in portions_of(selection):
            after = ""
            while rows := self._db.rows(
                f"SELECT uri, yanked FROM {files} WHERE repo = ? AND uri > ?{narrow}{where} ORDER BY uri LIMIT {_PAGE}",
                (repo, after, *values),
            ):
                after = rows[-1][0]
                marks = [(uri in yanked, repo, uri) for uri, mark in rows if bool(mark) != (uri in yanked)]
                if marks:
                    yield marks

    def marks(self, repo: str, selection: Selection) -> dict[str, bool | None]:
        """Map the URI of each of some wanted files to whether it is yanked; None if it is not live."""
        found: dict[str, bool | None] = {}
        for files, where, values in portions_of(selection):
            sql = f"SELECT uri, CASE state WHEN ? THEN yanked END FROM {files} WHERE repo = ?{where}"
            for uri, yanked in self._db.rows(sql, (FileState.LIVE, repo, *values)):
                found[uri] = None if yanked is None else bool(yanked)
        return found

    def wanted_files(self, repo: str, selection: Selection | None = None) -> list[WantedFile]:
        """List the wanted files of a repository (all, or some), the oldest record first."""
        found: list[WantedFile] = []
        for files, where, values in portions_of(selection):
            sql = f"SELECT {FILE_COLUMNS}, path, state, reason, unreadable FROM {files} WHERE repo = ?{where}"
            found += (_wanted_file(row) for row in self._db.rows(sql, (repo, *values)))
        return sorted(found, key=lambda wanted: wanted.file.record_order)

    def fragments(
        self,
        repo: str,
        source: FragmentSource,
        selection: Selection | None = None,
        *,
        has_bodies: bool = True,
    ) -> dict[str, Fragment]:
        """Map SHA-256 → fragment for those wanted files of a repository that were read.

        Args:
            repo: The name of the repository.
            source: Whose fragments.
            selection: The files that are asked for; None: all.
            has_bodies: Without, their bodies are left empty: most of what has to be read.
        """
        column = "body" if has_bodies else "x''"
        found: dict[str, Fragment] = {}
        for files, where, values in portions_of(selection):
            sql = (
                f"SELECT fragments.sha256, {column}, name, fragments.version, fragments.arch, products, size, made_by "
                # A cross join is read in this order: fragments of all repositories may be many more.
                f"FROM {files} CROSS JOIN fragments ON format = ? AND fragment_version = ? AND signer = ? "
                f"AND fragments.sha256 = files.sha256 WHERE repo = ?{where}"
            )
            rows = self._db.rows(sql, (source.kind, source.version, source.signer, repo, *values))
            found.update((sha256, read_fragment(columns)) for sha256, *columns in rows)
        return found

    def set_places(self, repo: str, places: Iterable[tuple[str, str]]) -> None:
        """Remember where files are published: (URI, path) each."""
        sql = "UPDATE files SET path = ? WHERE repo = ? AND uri = ?"
        self._db.write_rows(sql, ((path, repo, uri) for uri, path in places))

    def refuse(self, repo: str, refusals: Iterable[Refusal], *, unreadable: bool = False) -> None:
        """Remember files as left out, with the reason.

        Args:
            repo: The name of the repository.
            refusals: The files, with the reasons.
            unreadable: Their bytes are at fault, so they are not tried again until their record changes.
        """
        mark = Unreadable.UNTIL_RECORD_CHANGES if unreadable else Unreadable.NO
        self._db.write_rows(
            "UPDATE files SET state = ?, reason = ?, unreadable = ? WHERE repo = ? AND uri = ?",
            ((FileState.REFUSED, refusal.reason, mark, repo, refusal.file.uri) for refusal in refusals),
        )

    def note_trouble(self, repo: str, failures: Iterable[Refusal], wrong_bytes: Collection[str]) -> None:
        """Remember why files are still only wanted; they are tried again in the next sync.

        Args:
            repo: The name of the repository.
            failures: The files, with the reasons.
            wrong_bytes: The SHA-256s for which the server sent other bytes; these wait for the next full sync.
        """

        def mark(file: PackageFile) -> Unreadable:
            return Unreadable.UNTIL_FULL_SYNC if file.sha256 in wrong_bytes else Unreadable.NO

        self._db.write_rows(
            "UPDATE files SET state = ?, reason = ?, unreadable = ? WHERE repo = ? AND uri = ?",
            ((FileState.WANTED, failure.reason, mark(failure.file), repo, failure.file.uri) for failure in failures),
        )

    def packages(self, repo: str, size: int) -> Iterator[list[str]]:
        """Give the names of a repository's packages in order, in portions that have few files together.

        Args:
            repo: The name of the repository.
            size: The most files that the packages of a portion have together; a package with more comes alone.
        """
        sql = (
            "SELECT package FROM files INDEXED BY files_by_package WHERE repo = ? AND package > ? "
            "ORDER BY package LIMIT ?"
        )
        after = ""
        while rows := self._db.rows(sql, (repo, after, size + 1)):
            portion = list(dict.fromkeys(package for (package,) in rows))
            # There is room for some of its files, or none.
            if len(rows) > size and len(portion) > 1:
                portion.pop()
            after = portion[-1]
            yield portion

    def packages_among(self, repo: str, packages: Collection[str], size: int) -> Iterator[list[str]]:
        """Give some packages of a repository in such portions.

        Args:
            repo: The name of the repository.
            packages: The names of the packages.
            size: As that of `packages`.
        """
        portion: list[str] = []
        count = 0
        for files, where, values in portions_of(packages):
            sql = f"SELECT package, count(*) FROM {files} WHERE repo = ?{where} GROUP BY package ORDER BY package"
            for package, number in self._db.rows(sql, (repo, *values)):
                if portion and count + number > size:
                    yield portion
                    portion, count = [], 0
                portion.append(package)
                count += number
        if portion:
            yield portion

    def packages_of(self, repo: str, uris: Collection[str]) -> set[str]:
        """Name the packages of some files."""
        found: set[str] = set()
        for files, where, values in portions_of(Uris(frozenset(uris))):
            found.update(
                name for (name,) in self._db.rows(f"SELECT package FROM {files} WHERE repo = ?{where}", (repo, *values))
            )
        return found

    def set_live_among(self, repo: str, uris: Iterable[str], named: Collection[str]) -> None:
        """Remember which of some files the published index names; the others of them are no longer live.

        Args:
            repo: The name of the repository.
            uris: The files.
            named: Those that the index names.
        """
        with self._db.transaction() as db:
            _mark_live(db, repo, named)
            db.executemany(
                "UPDATE files SET state = ? WHERE repo = ? AND uri = ? AND state = ?",
                [(FileState.WANTED, repo, uri, FileState.LIVE) for uri in uris if uri not in named],
            )

    def indexed_among(self, repo: str, uris: Sequence[str]) -> list[IndexedFile]:
        """List those of some files that the published index names."""
        found: list[IndexedFile] = []
        for start in range(0, len(uris), _MANY):
            portion = uris[start : start + _MANY]
            sql = (
                "SELECT uri, sha256, coalesce(path, ''), file_name FROM files WHERE repo = ? AND state = ? "
                f"AND uri IN ({', '.join('?' * len(portion))})"
            )
            found += (IndexedFile(*row) for row in self._db.rows(sql, (repo, FileState.LIVE, *portion)))
        return found

    def set_live(self, repo: str, entries: Sequence[Entry], selection: Selection | None = None) -> None:
        """Remember the files that the published index names; the other ones are no longer live.

        Args:
            repo: The name of the repository.
            entries: What the index names.
            selection: The files that it is about; None: all.
        """
        with self._db.transaction() as db:
            live: set[str] = set()
            for files, where, values in portions_of(selection):
                sql = f"SELECT uri FROM {files} WHERE repo = ? AND state = ?{where}"
                live.update(uri for (uri,) in db.execute(sql, (repo, FileState.LIVE, *values)))
            named = {entry.file.uri for entry in entries}
            _mark_live(db, repo, named - live)
            db.executemany(
                "UPDATE files SET state = ? WHERE repo = ? AND uri = ?",
                [(FileState.WANTED, repo, uri) for uri in live - named],
            )

    def indexed(self, repo: str, packages: Collection[str] | None) -> list[IndexedFile]:
        """List the files of a repository (all, or those of the named packages) that its published index names."""
        found: list[IndexedFile] = []
        for files, where, values in portions_of(packages):
            sql = f"SELECT uri, sha256, coalesce(path, ''), file_name, yanked FROM {files} WHERE repo = ? AND state = ?"
            rows = self._db.rows(f"{sql}{where}", (repo, FileState.LIVE, *values))
            found += (IndexedFile(uri, sha256, path, name, bool(mark)) for uri, sha256, path, name, mark in rows)
        return found

    def live_count(self, repo: str | None) -> int:
        """Count the live files of a repository; None: of all."""
        where, values = ("", ()) if repo is None else (" AND repo = ?", (repo,))
        return int(self._db.rows(f"SELECT count(*) FROM files WHERE state = ?{where}", (FileState.LIVE, *values))[0][0])

    def lost(self, repo: str, offered: Collection[str], selection: Selection | None = None) -> list[str]:
        """List the live files of a repository that are not among the offered URIs.

        Args:
            repo: The name of the repository.
            offered: The URIs.
            selection: Only these files; None: all.
        """
        if selection is None:
            live = self.uris(repo, None, FileState.LIVE)
            return [uri for portion in live for uri in missing_from(offered, portion)]
        # The index of a package's files doesn't say which are live, and few of them are missing.
        missing = [uri for portion in self.uris(repo, selection) for uri in missing_from(offered, portion)]
        return sorted(file.uri for file in self.indexed_among(repo, missing))

    def awaited(self) -> frozenset[str]:
        """Give the SHA-256s of all files that are still to be downloaded."""
        rows = self._db.rows("SELECT sha256 FROM files WHERE state = ?", (FileState.WANTED,))
        return frozenset(sha256 for (sha256,) in rows)

    def awaited_count(self, repo: str) -> int:
        """Count the files of a repository that are still to be downloaded."""
        sql = "SELECT count(*) FROM files WHERE repo = ? AND state = ?"
        return int(self._db.rows(sql, (repo, FileState.WANTED))[0][0])

    def hashes(self) -> frozenset[str]:
        """Give the SHA-256s of all files that any repository wants."""
        return frozenset(sha256 for (sha256,) in self._db.rows("SELECT DISTINCT sha256 FROM files"))


def _mark_live(db: sqlite3.Connection, repo: str, uris: Collection[str]) -> None:
    """Make files live that are not; many with each statement, which takes a third of the time of one each."""
    for files, where, values in portions_of(Uris(frozenset(uris))):
        db.execute(
            # To undo this statement alone, SQLite would first write all that it touches to a temporary file.
            # What fails undoes the transaction.
            f"UPDATE OR FAIL {files} SET state = ?, reason = NULL, unreadable = ? WHERE repo = ? AND state <> ?{where}",
            (FileState.LIVE, Unreadable.NO, repo, FileState.LIVE, *values),
        )


def _wanted_file(row: tuple[Any, ...]) -> WantedFile:
    path, state, reason, unreadable = row[FILE_COLUMN_COUNT:]
    file = read_file(row[:FILE_COLUMN_COUNT])
    return WantedFile(file, path or "", FileState(state), reason or "", Unreadable(unreadable))
