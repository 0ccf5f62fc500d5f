"""Builds the queries for what a caller may see: users see everything, a mirror sees what its repositories have."""

from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, and_, bindparam, exists, select

from packrat_server.accounts.sessions import Caller, Role
from packrat_server.store.tables import (
    mirror_repos,
    package_file_tags,
    package_files,
    packages,
    repo_distro_versions,
    repos,
)


def visible_repos(caller: Caller) -> Select[Any]:
    """The names of the repositories that a caller may see."""
    query = select(repos.c.name)
    if caller.role == Role.MIRROR:
        query = query.join(mirror_repos, mirror_repos.c.repo == repos.c.name).where(
            mirror_repos.c.mirror == caller.name
        )
    return query


def visible_files(caller: Caller) -> Select[Any]:
    """The package files that a caller may see; a mirror sees those of its repositories, by tag and distribution."""
    return _visible_to(caller.role, caller.name)


def _visible_to(role: Role, name: str | BindParameter[Any]) -> Select[Any]:
    query = select(package_files)
    if role == Role.MIRROR:
        mine = (
            select(repos.c.name)
            .join(mirror_repos, mirror_repos.c.repo == repos.c.name)
            .join(repo_distro_versions, repo_distro_versions.c.repo == repos.c.name)
            .join(
                package_file_tags,
                and_(
                    package_file_tags.c.tag == repos.c.tag,
                    package_file_tags.c.package_file == package_files.c.id,
                ),
            )
            .where(
                mirror_repos.c.mirror == name,
                repo_distro_versions.c.distro_version == package_files.c.distro_version,
            )
        )
        query = query.where(exists(mine.correlate(package_files)))
    return query


def visible_packages(caller: Caller) -> Select[Any]:
    """The packages that a caller may see; a mirror sees those that it sees a file of."""
    query = select(packages)
    if caller.role == Role.MIRROR:
        names = visible_files(caller).with_only_columns(package_files.c.package)
        query = query.where(packages.c.name.in_(names))
    return query


def find_served(connection: Connection, caller: Caller, file_name: str) -> Row[Any] | None:
    """Find the package file to download under a name; None where the caller may see none of that name."""
    asked = {"caller": caller.name, "file_name": file_name}
    return connection.execute(_served_to(caller.role), asked).first()


@cache
def _served_to(role: Role) -> Select[Any]:
    # Built once for each role: building it for every download costs more than running it.
    query = _visible_to(role, bindparam("caller"))
    return query.where(package_files.c.file_name == bindparam("file_name"))
