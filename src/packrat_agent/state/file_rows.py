"""Turns the server's records of package files into rows of the state database, and back."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from packrat_agent.model.records import PackageFile

FILE_COLUMNS = "uri, package, distro_version, version, kind, arch, url, file_name, sha256, created, yanked"
FILE_COLUMN_COUNT = len(FILE_COLUMNS.split(","))


def insert_files(db: sqlite3.Connection, repo: str, files: Iterable[PackageFile], read_at: float) -> None:
    """Write rows for new or changed records, which start as wanted.

    Args:
        db: An open transaction.
        repo: The name of the repository.
        files: The records.
        read_at: When the server was asked for them, in epoch seconds.
    """
    db.executemany(
        f"INSERT OR REPLACE INTO files (repo, {FILE_COLUMNS}, read_at) VALUES (?, ?{', ?' * FILE_COLUMN_COUNT})",
        [(repo, *_file_row(file), read_at) for file in files],
    )


def read_file(columns: Sequence[Any]) -> PackageFile:
    """Make a record of its FILE_COLUMNS."""
    values = (*columns[:-1], bool(columns[-1]))
    return PackageFile(*values)


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
