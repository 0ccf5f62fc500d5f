"""Reads from the state database what the indexes name, so that nobody has to hold it in memory."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from packrat_agent.model.entries import Entry, IndexedPackage
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.state.database import Database
from packrat_agent.state.file_rows import FILE_COLUMNS, read_file
from packrat_agent.state.file_state import FileState
from packrat_agent.state.fragments import NEEDED_NAME, FragmentSource, read_fragment, read_products

_FRAGMENT_COLUMNS = "body, fragments.name, fragments.version, fragments.arch, products, fragments.size, made_by, path"
_FRAGMENT_COLUMN_COUNT = len(_FRAGMENT_COLUMNS.split(","))
_PORTION = 500
_READ_OF_FILES = (
    # A cross join is read in this order. The index has all that is asked, save the body.
    "files CROSS JOIN fragments INDEXED BY fragments_in_order ON format = ? AND fragment_version = ? AND signer = ? "
    "AND fragments.sha256 = files.sha256"
)
_BEYOND = "\U0010ffff"
"""Sorts behind every name."""

ListedRow = tuple[str, str, str, str, str]
"""Package on the server, name, version, architecture and distribution version of a live file."""


class LiveEntries:
    """The entries of one repository's published index: its live files with the fragments that one source made."""

    def __init__(self, db: Database, repo: Repo, source: FragmentSource) -> None:
        self._db = db
        self._repo = repo
        self._source = source

    def of(self, packages: Collection[str]) -> list[Entry]:
        """List the entries of some packages."""
        # A cross join is read in this order; SQLite prefers the primary key, and then reads all files.
        sql = (
            f"SELECT {_qualified(FILE_COLUMNS)}, {_FRAGMENT_COLUMNS} FROM files INDEXED BY files_by_package "
            "CROSS JOIN fragments ON format = ? AND fragment_version = ? AND signer = ? AND fragments.sha256 = "
            "files.sha256 WHERE repo = ? AND state = ? AND package IN "
        )
        found = []
        for portion in _portions(packages):
            values = (*self._made_by(), self._repo.name, FileState.LIVE, *portion)
            found += [self._entry(row) for row in self._db.rows(sql + _marks(portion), values)]
        return found

    def of_files(self, uris: Collection[str]) -> list[Entry]:
        """List the entries of some files."""
        return [entry for portion in _portions(uris) for entry in self._read(portion)]

    def by_package(self, distro_versions: Collection[str], without: Collection[str]) -> Iterator[Entry]:
        """Give the entries for some distribution versions, in the order of their packages, without holding them all.

        Args:
            distro_versions: The names of the distribution versions.
            without: The URIs of files that are left out.
        """
        versions = tuple(distro_versions)
        sql = (
            f"SELECT uri FROM {_READ_OF_FILES} WHERE repo = ? AND state = ? AND distro_version IN "
            f"{_marks(versions)} ORDER BY fragments.name, fragments.version, fragments.arch, length(uri), uri"
        )
        rows = self._db.rows(sql, (*self._made_by(), self._repo.name, FileState.LIVE, *versions))
        uris = (uri for (uri,) in rows if uri not in without)
        while portion := tuple(islice(uris, _PORTION)):
            found = {entry.file.uri: entry for entry in self._read(portion)}
            yield from (found[uri] for uri in portion if uri in found)

    def indexed(self, distro_versions: Collection[str]) -> Iterator[IndexedPackage]:
        """Give the same for some distribution versions, in the same order, without the server's records.

        Args:
            distro_versions: The names of the distribution versions.
        """
        versions = tuple(distro_versions)
        sql = (
            f"SELECT fragments.rowid, path FROM {_READ_OF_FILES} WHERE repo = ? AND state = ? AND distro_version IN "
            f"{_marks(versions)} ORDER BY fragments.name, fragments.version, fragments.arch, length(uri), uri"
        )
        rows = iter(self._db.rows(sql, (*self._made_by(), self._repo.name, FileState.LIVE, *versions)))
        inside = len(path_in_root(self._repo, ""))
        columns = "rowid, name, version, arch, products, sha256, size, body"
        while portion := tuple(islice(rows, _PORTION)):
            numbers = [number for number, _ in portion]
            found = {
                row[0]: row[1:]
                for row in self._db.rows(f"SELECT {columns} FROM fragments WHERE rowid IN {_marks(numbers)}", numbers)
            }
            for number, path in portion:
                # A file that is gone was read again since, with another source.
                if row := found.get(number):
                    name, version, arch, products, sha256, size, body = row
                    if products != "[]":
                        sha256, size = _published(products, sha256, size)
                    yield IndexedPackage((name, version, arch), path[inside:], sha256, size, body)

    def architectures(self, distro_versions: Collection[str]) -> frozenset[str]:
        """Name the architectures of the entries for some distribution versions."""
        versions = tuple(distro_versions)
        sql = (
            f"SELECT DISTINCT fragments.arch FROM {_READ_OF_FILES} WHERE repo = ? AND state = ? AND distro_version IN "
        )
        values = (*self._made_by(), self._repo.name, FileState.LIVE, *versions)
        return frozenset(arch for (arch,) in self._db.rows(sql + _marks(versions), values))

    def _read(self, uris: Sequence[str]) -> list[Entry]:
        sql = (
            f"SELECT {_qualified(FILE_COLUMNS)}, {_FRAGMENT_COLUMNS} FROM files CROSS JOIN fragments ON format = ? AND "
            "fragment_version = ? AND signer = ? AND fragments.sha256 = files.sha256 WHERE repo = ? AND state = ? AND "
            "uri IN "
        )
        # The state is asked for again: a record may have been read again since the URIs were listed.
        values = (*self._made_by(), self._repo.name, FileState.LIVE, *uris)
        return [self._entry(row) for row in self._db.rows(sql + _marks(uris), values)]

    def names(self) -> list[tuple[str, str, int]]:
        """Give the server's package, the name in the file, and how many files have both."""
        sql = (
            f"SELECT package, fragments.name, count(*) FROM {_READ_OF_FILES} WHERE repo = ? AND state = ? "
            "GROUP BY package, fragments.name"
        )
        return self._db.rows(sql, (*self._made_by(), self._repo.name, FileState.LIVE))

    def renamed(self) -> list[Entry]:
        """List the entries whose clients need another file name than that of the record."""
        sql = (
            "SELECT uri FROM files CROSS JOIN fragments ON format = ? AND fragment_version = ? AND signer = ? AND "
            f"fragments.sha256 = files.sha256 WHERE repo = ? AND state = ? AND {NEEDED_NAME} <> file_name"
        )
        rows = self._db.rows(sql, (*self._made_by(), self._repo.name, FileState.LIVE))
        return self.of_files([uri for (uri,) in rows])

    def of_same_bytes(self, entries: Collection[Entry]) -> list[Entry]:
        """List other entries with the same package files, which stand in their places."""
        # By what is on disk: no index has the wanted files by their bytes.
        sql = (
            "SELECT uri FROM live_files INDEXED BY live_files_by_sha256 CROSS JOIN files INDEXED BY files_by_path ON "
            "files.repo = live_files.repo AND files.path = live_files.path AND files.sha256 = live_files.sha256 "
            "WHERE live_files.repo = ? AND live_files.sha256 IN "
        )
        own = {entry.file.uri for entry in entries}
        found: set[str] = set()
        for portion in _portions({entry.file.sha256 for entry in entries}):
            found.update(uri for (uri,) in self._db.rows(sql + _marks(portion), (self._repo.name, *portion)))
        return self.of_files(found - own)

    def standing(self, paths: Collection[str], without: Collection[str]) -> frozenset[str]:
        """Give those of some paths, relative to `root_dir`, that other entries than those of `without` (URIs) need."""
        found: set[str] = set()
        for portion in _portions(paths):
            sql = "SELECT path, uri FROM files INDEXED BY files_by_path WHERE repo = ? AND state = ? AND path IN "
            rows = self._db.rows(sql + _marks(portion), (self._repo.name, FileState.LIVE, *portion))
            found.update(path for path, uri in rows if uri not in without)
        return frozenset(found)

    def listed(self, low: str, high: str | None) -> Iterator[ListedRow]:
        """Give what the landing page lists of the live files of some packages, in portions of whole packages.

        Args:
            low: No package before this name, on the server.
            high: Only packages before this name; None: to the end.

        Yields:
            For each file its package on the server, its name, version and architecture as clients know them, and its
            distribution version, in the order of their packages.
        """
        ends = "SELECT DISTINCT package FROM files WHERE repo = ? AND package >= ? ORDER BY package LIMIT 1 OFFSET ?"
        sql = (
            "SELECT package, coalesce(nullif(fragments.name, ''), package), "
            "coalesce(nullif(fragments.version, ''), files.version), coalesce(nullif(fragments.arch, ''), files.arch), "
            "distro_version FROM files INDEXED BY files_by_package LEFT JOIN fragments ON format = ? AND "
            "fragment_version = ? AND signer = ? AND fragments.sha256 = files.sha256 WHERE repo = ? AND state = ? "
            "AND package >= ? AND package < ? ORDER BY package"
        )
        at: str | None = low
        while at is not None and (high is None or at < high):
            found = self._db.rows(ends, (self._repo.name, at, _PORTION))
            following = found[0][0] if found else None
            end = min(following or _BEYOND, high or _BEYOND)
            yield from self._db.rows(sql, (*self._made_by(), self._repo.name, FileState.LIVE, at, end))
            at = following

    def _made_by(self) -> tuple[str, int, str]:
        return self._source.kind, self._source.version, self._source.signer

    def _entry(self, row: Sequence[Any]) -> Entry:
        *columns, path = row[-_FRAGMENT_COLUMN_COUNT:]
        below = path.removeprefix(path_in_root(self._repo, ""))
        return Entry(read_file(row[:-_FRAGMENT_COLUMN_COUNT]), below, read_fragment(columns))


def _published(products: str, sha256: str, size: int) -> tuple[str, int]:
    """Give SHA-256 and size of what stands in the place of a package file."""
    for product in read_products(products):
        if not product.name:
            return product.sha256, product.size
    return sha256, size


def _qualified(columns: str) -> str:
    return ", ".join(f"files.{column}" for column in columns.split(", "))


def _marks(values: Sequence[object]) -> str:
    return f"({', '.join('?' * len(values))})"


def _portions(values: Collection[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(sorted(values))
    while portion := tuple(islice(rest, _PORTION)):
        yield portion
