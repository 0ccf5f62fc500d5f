"""Compares two tags, or two repositories: which package files only one of them has.

A tag has its files as far as they are neither failed nor deprecated; a repository has those that it offers.

Usage:

    compare(connection, Comparison("dev", "prod"))  # [{"package": "hello", …, "only": {"dev": [{…}], "prod": []}}]
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, select

from packrat_server.promotion.find_files import describe_files, files_query, in_portions
from packrat_server.promotion.known_names import check_known, is_tag
from packrat_server.promotion.questions import Comparison, FileQuery, Found, Record
from packrat_server.promotion.wanted_files import wanted_files
from packrat_server.store.tables import package_files

_GROUPED = (
    package_files.c.package,
    package_files.c.distro_version,
    package_files.c.type,
    package_files.c.arch,
)


def compare(connection: Connection, asked: Comparison) -> Found:
    """List the versions that only one side has, by package, distribution version, type and architecture.

    Raises:
        NoSuchName: A side is neither a tag nor a repository, or there is no such package or distribution version.
    """
    check_known(connection, {"package": asked.package, "distroversion": asked.distro})
    given = {"first": asked.first, "second": asked.second}
    sides = {name: _files_of(connection, field, name, asked) for field, name in given.items()}
    first, second = sides[asked.first], sides[asked.second]
    # Two sides may differ by very many files, so only what they are grouped by is read of all.
    columns = (package_files.c.id, *_GROUPED)
    rows: list[Row[Any]] = []
    for ids in in_portions(sorted(first ^ second)):
        rows.extend(connection.execute(select(*columns).where(package_files.c.id.in_(ids))))
    rows.sort(key=lambda row: (row[1:], row.id))
    groups = [(group, [row.id for row in files]) for group, files in groupby(rows, key=lambda row: tuple(row[1:]))]
    shown = groups[: asked.limit]
    records = _read(connection, [number for _, ids in shown for number in ids])
    listed = [
        {
            **dict(zip(("package", "distro", "type", "arch"), group, strict=True)),
            "only": {name: [records[number] for number in ids if number in side] for name, side in sides.items()},
        }
        for group, ids in shown
    ]
    return Found(listed, len(groups) > asked.limit)


def _files_of(connection: Connection, field: str, name: str, asked: Comparison) -> set[int]:
    """Read the ids of the files that a tag or a repository has.

    Args:
        connection: An open transaction.
        field: The argument that names it.
        name: Its name.
        asked: What is compared.
    """
    if is_tag(connection, field, name):
        query = FileQuery(package=asked.package, distro=asked.distro, tag=name, state="active")
        return set(connection.execute(files_query(query).with_only_columns(package_files.c.id)).scalars())
    offered = set(wanted_files(connection, name, [asked.package] if asked.package else None))
    if not asked.distro:
        return offered
    of_distro = select(package_files.c.id).where(package_files.c.distro_version == asked.distro)
    return offered & set(connection.execute(of_distro).scalars())


def _read(connection: Connection, numbers: Sequence[int]) -> dict[int, Record]:
    found: dict[int, Record] = {}
    for ids in in_portions(numbers):
        rows = connection.execute(select(package_files).where(package_files.c.id.in_(ids))).all()
        records = describe_files(connection, rows)
        found.update((row.id, record) for row, record in zip(rows, records, strict=True))
    return found
