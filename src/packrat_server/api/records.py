"""Turns rows of the database into the records that GET and LIST answer, as far as the caller may see them."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Select, bindparam, func, select, true

from packrat_server.accounts.rights import Role
from packrat_server.accounts.sessions import Caller
from packrat_server.accounts.visibility import visible_files, visible_files_of, visible_packages, visible_repos
from packrat_server.api.description import uri
from packrat_server.api.values import parse_id
from packrat_server.store.membership import mirror_repo_names, repo_distro_names
from packrat_server.store.tables import (
    distro_versions,
    mirrors,
    package_file_tags,
    package_files,
    packages,
    repos,
    required_tags,
    tags,
)
from packrat_server.store.text import write_moment

_FARTHEST = 2**62
"""Databases know no larger numbers."""
Record = dict[str, Any]
Reader = Callable[[Connection, Caller, Sequence[str]], dict[str, Record]]


def _stamps(row: Row[Any]) -> Record:
    return {"created": write_moment(row.created), "updated": write_moment(row.updated)}


def _read_tags(connection: Connection, _caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    records = {}
    for row in connection.execute(select(tags).where(tags.c.name.in_(ids))):
        required = connection.execute(
            select(required_tags.c.required).where(required_tags.c.tag == row.name).order_by(required_tags.c.required)
        ).scalars()
        records[row.name] = {
            "name": row.name,
            "change_control_required": row.change_control_required,
            **_stamps(row),
            "required_list": [uri("Attrib/Tag", name) for name in required],
        }
    return records


def _read_distro_versions(connection: Connection, _caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    return {
        row.name: {
            "name": row.name,
            "distro": row.distro,
            "version": row.version,
            "file_type": row.file_type,
            "release_names": row.release_names,
            **_stamps(row),
        }
        for row in connection.execute(select(distro_versions).where(distro_versions.c.name.in_(ids)))
    }


def _read_packages(connection: Connection, caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    return {
        row.name: {
            "name": row.name,
            "deprocated_count": row.deprocated_count,
            "failed_count": row.failed_count,
            **_stamps(row),
        }
        for row in connection.execute(visible_packages(caller).where(packages.c.name.in_(ids)))
    }


# What a record tells of a file; the other columns are not read, since mirrors read very many records.
_FILE_COLUMNS = (
    package_files.c.id,
    package_files.c.package,
    package_files.c.distro_version,
    package_files.c.version,
    package_files.c.type,
    package_files.c.arch,
    package_files.c.justification,
    package_files.c.provenance,
    package_files.c.file_name,
    package_files.c.sha256,
    package_files.c.failed_at,
    package_files.c.failed_by,
    package_files.c.deprocated_at,
    package_files.c.deprocated_by,
    package_files.c.created_by,
    package_files.c.created,
    package_files.c.updated,
)
_NUMBERED: BindParameter[int] = bindparam("files", expanding=True)
# Built once: to build such a query takes longer than to run it.
_FILES = {
    role: visible_files_of(role, bindparam("caller"))
    .with_only_columns(*_FILE_COLUMNS)
    .where(package_files.c.id.in_(_NUMBERED))
    for role in Role
}
_TAGS_OF_FILES = (
    select(package_file_tags.c.package_file, package_file_tags.c.id, package_file_tags.c.tag)
    .where(package_file_tags.c.package_file.in_(_NUMBERED))
    .order_by(package_file_tags.c.tag)
)


def _read_package_files(connection: Connection, caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    numbers = _numbers(ids)
    tagged: dict[int, list[tuple[int, str]]] = {}
    for number, tag_id, tag in connection.execute(_TAGS_OF_FILES, {"files": numbers}).all():
        tagged.setdefault(number, []).append((tag_id, tag))
    found = connection.execute(_FILES[caller.role], {"files": numbers, "caller": caller.name}).all()
    return {str(row[0]): _package_file(row, tagged.get(row[0], ())) for row in found}


def _package_file(row: Sequence[Any], tagged: Sequence[tuple[int, str]]) -> Record:
    # Unpacked at once: to look up each column of a row by its name takes several times as long.
    _, package, distro_version, version, kind, arch, justification, provenance, file_name, sha256, *marks = row
    failed_at, failed_by, deprocated_at, deprocated_by, created_by, created, updated = marks
    return {
        "package": uri("Package/Package", package),
        "distroversion": uri("Attrib/DistroVersion", distro_version),
        "version": version,
        "type": kind,
        "arch": arch,
        "justification": justification,
        "provenance": provenance,
        "file": "/files/" + quote(file_name, safe="+~!"),
        "sha256": sha256,
        "failed_at": write_moment(failed_at),
        "failed_by": failed_by,
        "deprocated_at": write_moment(deprocated_at),
        "deprocated_by": deprocated_by,
        "created_by": created_by,
        "created": write_moment(created),
        "updated": write_moment(updated),
        "tag_list": [uri("Package/PackageFileTag", tag_id) for tag_id, _ in tagged],
        "tags": [tag for _, tag in tagged],
        "raw_tag_list": [uri("Attrib/Tag", tag) for _, tag in tagged],
    }


def _read_package_file_tags(connection: Connection, caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    visible = visible_files(caller).with_only_columns(package_files.c.id)
    query = select(package_file_tags).where(
        package_file_tags.c.id.in_(_numbers(ids)), package_file_tags.c.package_file.in_(visible)
    )
    return {
        str(row.id): {
            "package_file": uri("Package/PackageFile", row.package_file),
            "tag": uri("Attrib/Tag", row.tag),
            "by": row.by,
            "at": write_moment(row.at),
            "change_control_id": row.change_control_id,
        }
        for row in connection.execute(query)
    }


def _read_repos(connection: Connection, caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    query = select(repos).where(repos.c.name.in_(ids), repos.c.name.in_(visible_repos(caller)))
    return {
        row.name: {
            "name": row.name,
            "description": row.description,
            "filesystem_dir": row.directory,
            "manager_type": row.kind,
            "tag": uri("Attrib/Tag", row.tag),
            "show_only_latest": row.show_only_latest,
            **_stamps(row),
            "distroversion_list": [
                uri("Attrib/DistroVersion", name) for name in repo_distro_names(connection, row.name)
            ],
        }
        for row in connection.execute(query).all()
    }


def _read_mirrors(connection: Connection, caller: Caller, ids: Sequence[str]) -> dict[str, Record]:
    names = [name for name in ids if caller.role != Role.MIRROR or name == caller.name]
    return {
        row.name: {
            "name": row.name,
            "description": row.description,
            "last_heartbeat": write_moment(row.last_heartbeat),
            **_stamps(row),
            "repo_list": [uri("Repo/Repo", name) for name in mirror_repo_names(connection, row.name)],
        }
        for row in connection.execute(select(mirrors).where(mirrors.c.name.in_(names))).all()
    }


def _numbers(ids: Sequence[str]) -> list[int]:
    return [number for number in map(parse_id, ids) if number is not None]


READERS: dict[str, Reader] = {
    "Attrib/Tag": _read_tags,
    "Attrib/DistroVersion": _read_distro_versions,
    "Package/Package": _read_packages,
    "Package/PackageFile": _read_package_files,
    "Package/PackageFileTag": _read_package_file_tags,
    "Repo/Repo": _read_repos,
    "Repo/Mirror": _read_mirrors,
}


def ids_of(caller: Caller, model: str) -> Select[Any]:
    """The ids of all objects that the caller may see, in the order they were made."""
    match model:
        case "Attrib/Tag":
            query = select(tags.c.name).order_by(tags.c.created, tags.c.name)
        case "Attrib/DistroVersion":
            query = select(distro_versions.c.name).order_by(distro_versions.c.ordinal)
        case "Package/Package":
            query = visible_packages(caller).with_only_columns(packages.c.name)
            query = query.order_by(packages.c.created, packages.c.name)
        case "Package/PackageFile":
            query = file_ids(caller, true())
        case "Package/PackageFileTag":
            seen = visible_files(caller).with_only_columns(package_files.c.id)
            query = select(package_file_tags.c.id).where(package_file_tags.c.package_file.in_(seen))
            query = query.order_by(package_file_tags.c.id)
        case "Repo/Repo":
            query = visible_repos(caller).order_by(repos.c.created, repos.c.name)
        case _:
            query = select(mirrors.c.name).order_by(mirrors.c.created, mirrors.c.name)
            if caller.role == Role.MIRROR:
                query = query.where(mirrors.c.name == caller.name)
    return query


def file_ids(caller: Caller, condition: ColumnElement[bool]) -> Select[Any]:
    """The ids of the visible package files that fit a condition, in the order they were made."""
    query = visible_files(caller).where(condition).with_only_columns(package_files.c.id)
    return query.order_by(package_files.c.id)


def read_page(connection: Connection, query: Select[Any], position: int, count: int) -> tuple[Sequence[object], int]:
    """Read a part of a list of ids, which may be very long; gives the part, and the number of all ids.

    Args:
        connection: One view of the database.
        query: The list.
        position: How many ids come before the part.
        count: How many ids it has at most.
    """
    page = list(connection.execute(query.limit(count).offset(min(position, _FARTHEST))).scalars())
    if page and len(page) < count:
        return page, position + len(page)
    total = connection.execute(select(func.count()).select_from(query.order_by(None).subquery())).scalar_one()
    return page, total
