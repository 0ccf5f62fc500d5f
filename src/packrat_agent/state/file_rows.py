"""Turns the server's records of package files into rows of the state database, and back, and chooses rows."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from packrat_agent.model.records import PackageFile

FILE_COLUMNS = "uri, package, distro_version, version, kind, arch, url, file_name, sha256, created, yanked"
FILE_COLUMN_COUNT = len(FILE_COLUMNS.split(","))
_MANY = 500
"""Number of values that a statement asks for at a time."""


@dataclass(frozen=True, slots=True)
class Uris:
    """Some files, given by their URIs where others are given by the names of their packages."""

    uris: frozenset[str]


_TAKEN_OVER = ", ".join(f"{name} = excluded.{name}" for name in (*FILE_COLUMNS.split(", ")[1:], "read_at", "path"))
# An upsert, since SQLite writes all that a REPLACE touches to a temporary file first, for each row. It writes each
# column, as a new row would have it.
_INSERT = (
    f"INSERT INTO files (repo, {FILE_COLUMNS}, read_at, path) VALUES (?{', ?' * FILE_COLUMN_COUNT}, ?, ?) "
    f"ON CONFLICT (repo, uri) DO UPDATE SET {_TAKEN_OVER}, state = 'wanted', reason = NULL, unreadable = 0"
)

Selection = Collection[str] | Uris
"""The files of some packages, or some files."""


def about(packages: Collection[str] | None, touched: frozenset[str] | None) -> Selection | None:
    """Choose the files that an answer is about: those that a change touched, or all of the packages (None: of all)."""
    return packages if touched is None else Uris(touched)


def insert_files(
    db: sqlite3.Connection, repo: str, files: Iterable[PackageFile], read_at: float, places: Mapping[str, str]
) -> None:
    """Write rows for new or changed records, which start as wanted.

    Args:
        db: An open transaction.
        repo: The name of the repository.
        files: The records.
        read_at: When the server was asked for them, in epoch seconds.
        places: URI → the path of each file that has a place already, relative to `root_dir`.
    """
    # In this order each page of the indexes by package and by path is written once; by URI, few files stand in each.
    in_order = sorted(files, key=lambda file: file.package)
    db.executemany(_INSERT, [(repo, *_file_row(file), read_at, places.get(file.uri)) for file in in_order])


def read_file(columns: Sequence[Any]) -> PackageFile:
    """Make a record of its FILE_COLUMNS."""
    uri, package, distro_version, version, kind, arch, url, file_name, sha256, created, yanked = columns
    # What many records say is one text for all: those of 100,000 files may be held in memory.
    shared = (intern(package), intern(distro_version), version, intern(kind), intern(arch))
    return PackageFile(uri, *shared, url, file_name, sha256, created, bool(yanked))


def _file_row(file: PackageFile) -> tuple[str | bool, ...]:
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
        file.yanked,
    )


def portions_of(selection: Selection | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Split what is asked for into portions: what to read from, the condition that `AND` begins, and its values.

    selection: The files that are asked for; None: all, in one portion.
    """
    if selection is None:
        yield "files", "", ()
        return
    # SQLite prefers the primary key, and with packages then reads all files of the repository.
    by_uri = isinstance(selection, Uris)
    files, column = ("files", "files.uri") if by_uri else ("files INDEXED BY files_by_package", "package")
    names = sorted(selection.uris if isinstance(selection, Uris) else selection)
    for start in range(0, len(names), _MANY):
        portion = tuple(names[start : start + _MANY])
        yield files, f" AND {column} IN ({', '.join('?' * len(portion))})", portion
