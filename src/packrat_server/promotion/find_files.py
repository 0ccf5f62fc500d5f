"""Finds package files for people: by name, tag, distribution version and state, as records for JSON.

1. A plain name means the file of that name, those whose names begin with it, and the files of the package of that name.
   It is looked up by an index. The SHA-256 of a file is a name, too.
2. In a name with `*` or `?`, these stand for any letters, and case doesn't count. Every file is looked at.
3. No more records are read than are asked for.

Usage:

    found = find_files(connection, FileQuery(name="hello", tag="prod"))
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, exists, false, or_, select, union

from packrat_server.promotion.known_names import check_known
from packrat_server.promotion.questions import FileQuery, Found, Record
from packrat_server.promotion.wanted_files import listed_files
from packrat_server.store.membership import FILES_IN_REPOS
from packrat_server.store.tables import package_file_tags, package_files, repos
from packrat_server.store.text import is_storable, write_moment

_IDS_AT_ONCE = 500
_NAME_LIMIT = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LAST = "\U0010ffff"
"""Sorts after every other letter."""


def find_files(connection: Connection, query: FileQuery) -> Found:
    """Find package files, sorted by package, distribution version and age.

    Raises:
        NoSuchName: There is no such package, tag or distribution version.
    """
    check_known(connection, {"package": query.package, "tag": query.tag, "distroversion": query.distro})
    order = (package_files.c.package, package_files.c.distro_version, package_files.c.id)
    rows = connection.execute(files_query(query).order_by(*order).limit(query.limit + 1)).all()
    return Found(describe_files(connection, rows[: query.limit]), len(rows) > query.limit)


def files_query(query: FileQuery) -> Select[Any]:
    """The rows of the package files that are looked for."""
    found = select(package_files)
    if query.name:
        found = found.where(_fits(query.name))
    if query.package:
        found = found.where(package_files.c.package == query.package)
    if query.distro:
        found = found.where(package_files.c.distro_version == query.distro)
    if query.tag:
        tagged = and_(package_file_tags.c.package_file == package_files.c.id, package_file_tags.c.tag == query.tag)
        found = found.where(exists().where(tagged))
    if query.state:
        failed, deprocated = package_files.c.failed_at, package_files.c.deprocated_at
        states: dict[str, ColumnElement[bool]] = {
            "active": and_(failed.is_(None), deprocated.is_(None)),
            "failed": failed.is_not(None),
            "deprocated": deprocated.is_not(None),
        }
        found = found.where(states.get(query.state, false()))
    return found


def describe_files(connection: Connection, rows: Sequence[Row[Any]]) -> list[Record]:
    """Make the records of package files, with their tags."""
    tags: dict[int, list[str]] = {}
    for ids in in_portions([row.id for row in rows]):
        tagged = (
            select(package_file_tags.c.package_file, package_file_tags.c.tag)
            .where(package_file_tags.c.package_file.in_(ids))
            .order_by(package_file_tags.c.id)
        )
        for row in connection.execute(tagged).all():
            tags.setdefault(row.package_file, []).append(row.tag)
    return [_describe(row, tags.get(row.id, [])) for row in rows]


def show_files(connection: Connection, name: str) -> list[Record]:
    """Show the package files of a name, or the one of a URI, with the repositories that offer each."""
    number = re.fullmatch(r"/api/v2/Package/PackageFile:([0-9]{1,17}):", name)
    is_it = package_files.c.id == int(number[1]) if number is not None else package_files.c.file_name == name
    rows = connection.execute(select(package_files).where(is_it).order_by(package_files.c.id)).all()
    records = describe_files(connection, rows)
    return [{**record, "repositories": _offering(connection, row)} for record, row in zip(records, rows, strict=True)]


def in_portions(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Divide ids into portions, each of which a query takes as parameters."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[start : start + _IDS_AT_ONCE]


def name_condition(column: Column[Any], name: str) -> ColumnElement[bool]:
    """What a column must be for a name: begin with it, or fit its `*` and `?`."""
    if len(name) > _NAME_LIMIT or not is_storable(name):
        # Nothing has such a name, and a database may refuse to look for it.
        return false()
    plain = name.removesuffix("*")
    if not plain:
        return column.is_not(None)
    if not set(plain) & set("*?"):
        # A range, since LIKE finds its index in one of the databases only.
        return and_(column >= plain, column < plain + _LAST)
    escaped = re.sub(r"([%_\\])", r"\\\1", name)
    return column.ilike(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def _fits(name: str) -> ColumnElement[bool]:
    if set(name.removesuffix("*")) & set("*?"):
        return or_(name_condition(package_files.c.file_name, name), name_condition(package_files.c.package, name))
    # A union, each part of which has its index; with OR, the planner may look at every file.
    found = [select(package_files.c.id).where(name_condition(package_files.c.file_name, name))]
    if not name.endswith("*"):
        found.append(select(package_files.c.id).where(package_files.c.package == name))
    if _SHA256.fullmatch(name):
        found.append(select(package_files.c.id).where(package_files.c.sha256 == name))
    return package_files.c.id.in_(union(*found))


def _describe(row: Row[Any], tags: Sequence[str]) -> Record:
    state = "failed" if row.failed_at is not None else "deprocated" if row.deprocated_at is not None else "active"
    return {
        "uri": f"/api/v2/Package/PackageFile:{row.id}:",
        "file": row.file_name,
        "package": row.package,
        "version": f"{row.epoch}:{row.version}" if row.epoch else row.version,
        "type": row.type,
        "arch": row.arch,
        "distro": row.distro_version,
        "tags": list(tags),
        "state": state,
        "failed_at": write_moment(row.failed_at, "seconds"),
        "failed_by": row.failed_by,
        "deprocated_at": write_moment(row.deprocated_at, "seconds"),
        "deprocated_by": row.deprocated_by,
        "size": row.size,
        "sha256": row.sha256,
        "created": write_moment(row.created, "seconds"),
        "created_by": row.created_by,
        "justification": row.justification,
        "provenance": row.provenance,
    }


def _offering(connection: Connection, row: Row[Any]) -> list[str]:
    """The repositories that offer a file."""
    candidates = (
        select(repos.c.name).select_from(FILES_IN_REPOS).where(package_files.c.id == row.id).order_by(repos.c.name)
    )
    offering = []
    for repo in connection.execute(candidates).scalars().all():
        if row.id in listed_files(connection, repo, [row.package]):
            offering.append(repo)
    return offering
