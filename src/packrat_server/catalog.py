"""Looks things up: what there is, what a repository wants, what a caller may see.

Takes: a connection, names, a Caller.
Gives: rows.
Touches: the database.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, and_, bindparam, exists, select

from packrat_server.access import Caller, Role
from packrat_server.latest import pick_latest
from packrat_server.store.tables import (
    mirror_repos,
    package_file_tags,
    package_files,
    packages,
    repo_distro_versions,
    repos,
)


def wanted_files(connection: Connection, repo: str, names: Sequence[str] | None) -> list[int]:
    """The ids of the files that a repository wants, in the order they were made; names: of these packages only."""
    row = connection.execute(select(repos).where(repos.c.name == repo)).one()
    query = (
        select(package_files)
        .join(package_file_tags, package_file_tags.c.package_file == package_files.c.id)
        .join(repo_distro_versions, repo_distro_versions.c.distro_version == package_files.c.distro_version)
        .where(
            package_file_tags.c.tag == row.tag,
            repo_distro_versions.c.repo == repo,
            package_files.c.failed_at.is_(None),
            package_files.c.deprocated_at.is_(None),
        )
        .order_by(package_files.c.id)
    )
    # More names than a database takes as parameters are sifted here.
    if names and len(names) <= 500:
        query = query.where(package_files.c.package.in_(names))
    found: Sequence[Any] = connection.execute(query).all()
    if names and len(names) > 500:
        asked = set(names)
        found = [file for file in found if file.package in asked]
    if row.show_only_latest:
        found = pick_latest(
            found,
            lambda file: (file.package, file.distro_version, file.type, file.arch),
            lambda file: (file.type, file.version),
        )
    return [file.id for file in found]


def visible_repos(caller: Caller) -> Select[Any]:
    """The names of the repositories that a caller may see."""
    query = select(repos.c.name)
    if caller.role == Role.MIRROR:
        query = query.join(mirror_repos, mirror_repos.c.repo == repos.c.name).where(
            mirror_repos.c.mirror == caller.name
        )
    return query


def visible_files(caller: Caller) -> Select[Any]:
    """The package files that a caller may see: a mirror those that its repositories have by tag and distribution."""
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
    """The packages that a caller may see: a mirror those of its files."""
    query = select(packages)
    if caller.role == Role.MIRROR:
        names = visible_files(caller).with_only_columns(package_files.c.package)
        query = query.where(packages.c.name.in_(names))
    return query


def find_served(connection: Connection, caller: Caller, file_name: str) -> Row[Any] | None:
    """The package file that a download name stands for, where the caller may see one of that name."""
    asked = {"caller": caller.name, "file_name": file_name}
    return connection.execute(_served_to(caller.role), asked).first()


@cache
def _served_to(role: Role) -> Select[Any]:
    # Put together once: for every file that is served it would cost more than the query itself.
    query = _visible_to(role, bindparam("caller"))
    return query.where(package_files.c.file_name == bindparam("file_name"))


def repo_distro_names(connection: Connection, repo: str) -> list[str]:
    """The distribution versions of a repository, in its order."""
    rows = connection.execute(
        select(repo_distro_versions.c.distro_version)
        .where(repo_distro_versions.c.repo == repo)
        .order_by(repo_distro_versions.c.ordinal)
    )
    return list(rows.scalars())


def mirror_repo_names(connection: Connection, mirror: str) -> list[str]:
    """The repositories of a mirror, in its order."""
    rows = connection.execute(
        select(mirror_repos.c.repo).where(mirror_repos.c.mirror == mirror).order_by(mirror_repos.c.ordinal)
    )
    return list(rows.scalars())
