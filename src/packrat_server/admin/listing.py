"""Lists what an administrator set up, as records for tables and JSON: such as tags, repositories and mirrors.

The records have the options' words as keys; moments are text in ISO 8601, in UTC. Secrets are in none of them.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, func, select

from packrat_server.admin.tag_types import read_requirements
from packrat_server.promotion.wanted_files import wanted_files
from packrat_server.store.reports import read_reports
from packrat_server.store.tables import (
    distro_versions,
    mirror_repos,
    mirrors,
    package_file_tags,
    package_files,
    repo_distro_versions,
    repos,
    sessions,
    tags,
    user_rights,
    users,
)
from packrat_server.store.text import write_moment

Record = dict[str, Any]


def list_tag_types(connection: Connection) -> list[Record]:
    """List the tags in the order they were made, with the number of files that each has."""
    required = read_requirements(connection)
    counts = _count(connection, package_file_tags, "tag")
    taken = _group(connection.execute(select(repos.c.tag, repos.c.name).order_by(repos.c.name)))
    return [
        {
            "name": row.name,
            "requires": list(required.get(row.name, ())),
            "change_control": row.change_control_required,
            "files": counts.get(row.name, 0),
            "repositories": taken.get(row.name, []),
            **_stamps(row),
        }
        for row in connection.execute(select(tags).order_by(tags.c.created, tags.c.name)).all()
    ]


def list_distros(connection: Connection) -> list[Record]:
    """List the distribution versions in their order, with the number of files that each has."""
    counts = _count(connection, package_files, "distro_version")
    taken = _group(
        connection.execute(
            select(repo_distro_versions.c.distro_version, repo_distro_versions.c.repo).order_by(
                repo_distro_versions.c.repo
            )
        )
    )
    return [
        {
            "name": row.name,
            "type": row.file_type,
            "distro": row.distro,
            "version": row.version,
            "release_names": [name for name in row.release_names.split(",") if name],
            "files": counts.get(row.name, 0),
            "repositories": taken.get(row.name, []),
            **_stamps(row),
        }
        for row in connection.execute(select(distro_versions).order_by(distro_versions.c.ordinal)).all()
    ]


def list_repos(connection: Connection) -> list[Record]:
    """List the repositories by name, with their distribution versions and mirrors."""
    distros = _group(
        connection.execute(
            select(repo_distro_versions.c.repo, repo_distro_versions.c.distro_version).order_by(
                repo_distro_versions.c.ordinal
            )
        )
    )
    on = _group(connection.execute(select(mirror_repos.c.repo, mirror_repos.c.mirror).order_by(mirror_repos.c.mirror)))
    return [
        {
            "name": row.name,
            "type": row.kind,
            "tag": row.tag,
            "distros": distros.get(row.name, []),
            "directory": row.directory,
            "description": row.description,
            "newest_only": row.show_only_latest,
            "mirrors": on.get(row.name, []),
            **_stamps(row),
        }
        for row in connection.execute(select(repos).order_by(repos.c.name)).all()
    ]


def count_wanted(connection: Connection, repo: str) -> int:
    """Count the files that a repository offers."""
    return len(wanted_files(connection, repo, None))


def list_mirrors(connection: Connection) -> list[Record]:
    """List the mirrors by name, with their repositories and when they were last heard of."""
    built = _group(
        connection.execute(select(mirror_repos.c.mirror, mirror_repos.c.repo).order_by(mirror_repos.c.ordinal))
    )
    columns = (mirrors.c.name, mirrors.c.description, mirrors.c.last_heartbeat, mirrors.c.created, mirrors.c.updated)
    return [
        {
            "name": row.name,
            "description": row.description,
            "repositories": built.get(row.name, []),
            "last_heartbeat": write_moment(row.last_heartbeat, "seconds"),
            **_stamps(row),
        }
        for row in connection.execute(select(*columns).order_by(mirrors.c.name)).all()
    ]


def show_reports(connection: Connection, mirror: str) -> list[Record]:
    """List what a mirror says that it has published of each of its repositories; None where it has said nothing yet."""
    return [{**report, "at": write_moment(report["at"], "seconds")} for report in read_reports(connection, mirror)]


def list_users(connection: Connection) -> list[Record]:
    """List the users by name, with their open sessions."""
    now = datetime.now(UTC).timestamp()
    open_sessions = (
        select(sessions.c.name, func.count().label("count")).where(sessions.c.expires > now).group_by(sessions.c.name)
    )
    counts = {row[0]: row[1] for row in connection.execute(open_sessions)}
    rights = _group(connection.execute(select(user_rights.c.user, user_rights.c.right).order_by(user_rights.c.right)))
    columns = (users.c.name, users.c.role, users.c.active, users.c.created, users.c.updated)
    return [
        {
            "name": row.name,
            "role": row.role,
            "rights": rights.get(row.name, []),
            "state": "active" if row.active else "locked out",
            "sessions": counts.get(row.name, 0),
            **_stamps(row),
        }
        for row in connection.execute(select(*columns).order_by(users.c.name)).all()
    ]


def _stamps(row: Any) -> Record:
    return {"created": write_moment(row.created, "seconds"), "updated": write_moment(row.updated, "seconds")}


def _count(connection: Connection, table: Table, column: str) -> Mapping[str, int]:
    """Count the rows of a table by the values of a column."""
    query = select(table.c[column], func.count()).group_by(table.c[column])
    return {row[0]: row[1] for row in connection.execute(query)}


def _group(pairs: Iterable[Any]) -> dict[str, list[str]]:
    """Group pairs by their first part: name → the second parts, in their order."""
    grouped: dict[str, list[str]] = {}
    for name, other in pairs:
        grouped.setdefault(name, []).append(other)
    return grouped
