"""Remembers what the server wants: repositories, their package files, and what was read from these.

Takes: records asked from the server, fragments read from files.
Gives: the same back, joined the way that each step needs it.
Touches: the state database.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from packrat_agent.model.entries import Entry, Fragment, Product, Refusal
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.state.database import Database
from packrat_agent.state.last_render import LastRenders

_FILE_COLUMNS = "uri, package, distro_version, version, kind, arch, url, file_name, sha256, created"
_MANY = 500


@dataclass(frozen=True, slots=True)
class FragmentSource:
    """Who read a fragment: the format, the version of its fragments, the fingerprint of the key that signed or ''."""

    kind: str
    version: int
    signer: str = ""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One wanted package file with all that is remembered of it; `path` is relative to `root_dir`."""

    file: PackageFile
    path: str | None
    state: str
    reason: str | None
    unreadable: int
    size: int | None
    fragment: Fragment | None


class WantedFiles:
    """The wanted side of the state database."""

    def __init__(self, db: Database, last_renders: LastRenders) -> None:
        self._db = db
        self._settled = last_renders

    def save_repos(self, repos: Sequence[Repo], staying: Collection[str] = ()) -> None:
        """Remember the mirror's repositories; those it no longer has are forgotten with their wanted files.

        staying: names that are left as they are.
        """
        with self._db.transaction() as db:
            names = {repo.name for repo in repos}.union(staying)
            for (name,) in db.execute("SELECT name FROM repos").fetchall():
                if name not in names:
                    self._settled.drop(name)
                    db.execute("DELETE FROM repos WHERE name = ?", (name,))
                    db.execute("DELETE FROM rejections WHERE repo = ?", (name,))
            for repo in repos:
                distro_versions = json.dumps([[v.name, v.distro, v.version, v.file_type] for v in repo.distro_versions])
                db.execute(
                    "INSERT INTO repos VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (name) DO UPDATE SET "
                    "description = excluded.description, directory = excluded.directory, kind = excluded.kind, "
                    "distro_versions = excluded.distro_versions, show_only_latest = excluded.show_only_latest",
                    (repo.name, repo.description, repo.directory, repo.kind, distro_versions, repo.show_only_latest),
                )

    def repos(self) -> tuple[Repo, ...]:
        """List the repositories as last asked."""
        rows = self._db.rows(
            "SELECT name, description, directory, kind, distro_versions, show_only_latest FROM repos ORDER BY name"
        )
        return tuple(
            Repo(
                name, description, directory, kind, tuple(DistroVersion(*v) for v in json.loads(versions)), bool(latest)
            )
            for name, description, directory, kind, versions, latest in rows
        )

    def known(self, repo: str, packages: Collection[str] | None) -> dict[str, PackageFile]:
        """Map the URIs of a repository's wanted files (of all, or of the named packages) to what they are."""
        found: dict[str, PackageFile] = {}
        for files, where, values in _chunks(packages):
            sql = f"SELECT {_FILE_COLUMNS} FROM {files} WHERE repo = ?{where}"
            for row in self._db.rows(sql, (repo, *values)):
                found[row[0]] = PackageFile(*row)
        return found

    def remember_wanted(self, repo: str, wanted: Wanted, packages: Collection[str] | None) -> None:
        """Make the rows of a repository (all, or those of the named packages) what the server just said.

        A row whose record changed starts anew as wanted.
        """
        known = self.known(repo, packages)
        with self._db.transaction() as db:
            gone = [(repo, uri) for uri in known if uri not in wanted.uris]
            db.executemany("DELETE FROM files WHERE repo = ? AND uri = ?", gone)
            changed = [file for file in wanted.files if known.get(file.uri) != file]
            db.executemany(
                f"INSERT OR REPLACE INTO files (repo, {_FILE_COLUMNS}) VALUES (?{', ?' * 10})",
                [(repo, *_file_row(file)) for file in changed],
            )

    def wanted_files(
        self, repo: str, source: FragmentSource, packages: Collection[str] | None = None
    ) -> list[WantedFile]:
        """List the wanted files of a repository (all, or those of the named packages) with places and fragments.

        The oldest record comes first.
        """
        rows = []
        for files, where, values in _chunks(packages):
            sql = (
                "SELECT uri, package, distro_version, files.version, kind, files.arch, url, file_name, files.sha256, "
                "created, path, state, reason, unreadable, size, body, name, fragments.version, fragments.arch, "
                f"products FROM {files} LEFT JOIN fragments ON format = ? AND fragment_version = ? AND signer = ? "
                f"AND fragments.sha256 = files.sha256 WHERE repo = ?{where}"
            )
            rows += self._db.rows(sql, (source.kind, source.version, source.signer, repo, *values))
        found = [
            WantedFile(
                PackageFile(*row[:10]),
                path,
                state,
                reason,
                unreadable,
                size,
                Fragment(row[15], row[16], row[17], row[18], _products(row[19])) if row[15] is not None else None,
            )
            for row in rows
            for path, state, reason, unreadable, size in (row[10:15],)
        ]
        return sorted(found, key=lambda item: item.file.record_order)

    def set_places(self, repo: str, places: Iterable[tuple[str, str]]) -> None:
        """Remember where files stand: (URI, path) each."""
        with self._db.transaction() as db:
            db.executemany(
                "UPDATE files SET path = ? WHERE repo = ? AND uri = ?", [(path, repo, uri) for uri, path in places]
            )

    def refuse(self, repo: str, refusals: Iterable[Refusal], *, unreadable: bool = False) -> None:
        """Remember files as left out, with the reason; `unreadable` ones until their record changes."""
        with self._db.transaction() as db:
            db.executemany(
                "UPDATE files SET state = 'refused', reason = ?, unreadable = ? WHERE repo = ? AND uri = ?",
                [(refusal.reason, unreadable, repo, refusal.file.uri) for refusal in refusals],
            )

    def note_trouble(self, repo: str, failures: Iterable[Refusal], wrong_bytes: Collection[str]) -> None:
        """Remember why files are still only wanted; they are tried again in the next pass.

        wrong_bytes: the SHA-256s for which the server sent other bytes; these wait for the next full pass.
        """
        with self._db.transaction() as db:
            db.executemany(
                "UPDATE files SET state = 'wanted', reason = ?, unreadable = ? WHERE repo = ? AND uri = ?",
                [
                    (failure.reason, 2 if failure.file.sha256 in wrong_bytes else 0, repo, failure.file.uri)
                    for failure in failures
                ],
            )

    def set_live(self, repo: str, entries: Sequence[Entry], packages: Collection[str] | None = None) -> None:
        """Remember the files (of all packages, or of the named ones) that the published index names."""
        with self._db.transaction() as db:
            live: set[str] = set()
            for files, where, values in _chunks(packages):
                sql = f"SELECT uri FROM {files} WHERE repo = ? AND state = 'live'{where}"
                live.update(uri for (uri,) in db.execute(sql, (repo, *values)))
            named = {entry.file.uri for entry in entries}
            db.executemany(
                "UPDATE files SET state = 'live', reason = NULL, unreadable = 0 WHERE repo = ? AND uri = ?",
                [(repo, uri) for uri in named - live],
            )
            db.executemany(
                "UPDATE files SET state = 'wanted' WHERE repo = ? AND uri = ?", [(repo, uri) for uri in live - named]
            )

    def save_fragments(self, source: FragmentSource, read: Iterable[tuple[str, int, Fragment]]) -> None:
        """Keep fragments under (SHA-256, size) of the files that they were read from."""
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO fragments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        source.kind,
                        source.version,
                        source.signer,
                        sha256,
                        size,
                        fragment.name,
                        fragment.version,
                        fragment.arch,
                        fragment.body,
                        json.dumps([[one.name, one.sha256, one.size, one.beside] for one in fragment.products]),
                    )
                    for sha256, size, fragment in read
                ],
            )

    def forget_fragments(self, sources: Iterable[FragmentSource]) -> None:
        """Forget the fragments of files that nobody wants and of which nothing is on disk, and what no source made."""
        present = [f"{source.kind} {source.version} {source.signer}" for source in sources]
        made = f"format || ' ' || fragment_version || ' ' || signer IN (?{', ?' * (len(present) - 1)})"
        with self._db.transaction() as db:
            db.execute(
                f"DELETE FROM fragments WHERE NOT (sha256 IN (SELECT sha256 FROM files) AND {made}) "
                "AND sha256 NOT IN (SELECT sha256 FROM live_files) AND NOT EXISTS (SELECT 1 FROM json_each(products) "
                "JOIN live_files ON live_files.sha256 = json_extract(json_each.value, '$[1]'))",
                present,
            )

    def lost(self, repo: str, offered: Collection[str]) -> tuple[int, int]:
        """Count the live files of a repository that are not among the offered URIs, and all its live files."""
        rows = self._db.rows("SELECT uri FROM files WHERE repo = ? AND state = 'live'", (repo,))
        return sum(1 for (uri,) in rows if uri not in offered), len(rows)

    def shrunk_since(self, repo: str) -> float | None:
        """Say since when (epoch seconds) the server has offered suspiciously little."""
        rows = self._db.rows("SELECT shrunk_since FROM repos WHERE name = ?", (repo,))
        return rows[0][0] if rows else None

    def set_shrunk_since(self, repo: str, at: float | None) -> None:
        """Remember since when the server has offered suspiciously little."""
        with self._db.transaction() as db:
            db.execute("UPDATE repos SET shrunk_since = ? WHERE name = ?", (at, repo))

    def awaited(self) -> frozenset[str]:
        """The SHA-256s of all files that are still to be had."""
        return frozenset(sha256 for (sha256,) in self._db.rows("SELECT sha256 FROM files WHERE state = 'wanted'"))

    def hashes(self) -> frozenset[str]:
        """The SHA-256s of all files that any repository wants."""
        return frozenset(sha256 for (sha256,) in self._db.rows("SELECT DISTINCT sha256 FROM files"))


def _products(text: str) -> tuple[Product, ...]:
    return () if text == "[]" else tuple(Product(*one) for one in json.loads(text))


def _file_row(file: PackageFile) -> tuple[str, ...]:
    return (
        file.uri,
        file.package,
        file.distro_version,
        file.version,
        file.kind,
        file.arch,
        file.url,
        file.file_name,
        file.sha256,
        file.created,
    )


def _chunks(packages: Collection[str] | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if packages is None:
        yield "files", "", ()
        return
    names = sorted(packages)
    for start in range(0, len(names), _MANY):
        some = tuple(names[start : start + _MANY])
        # SQLite prefers the primary key, and then reads all files of the repository.
        yield "files INDEXED BY files_by_package", f" AND package IN ({', '.join('?' * len(some))})", some
