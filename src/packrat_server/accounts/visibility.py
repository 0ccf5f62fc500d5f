"""Builds the queries for what a caller may see: users see everything, a mirror sees what its repositories have."""

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, bindparam, case, exists, select

from packrat_server.accounts.rights import Role
from packrat_server.accounts.sessions import Caller
from packrat_server.store.tables import (
    mirror_repos,
    package_file_tags,
    package_files,
    packages,
    repo_distro_versions,
    repos,
    sessions,
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
    return visible_files_of(caller.role, caller.name)


def visible_files_of(role: Role, name: str | ColumnElement[Any]) -> Select[Any]:
    """The package files that a caller of this role and name may see; the name may be a parameter or a column."""
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
        query = query.where(exists(mine.correlate(package_files, sessions)))
    return query


def visible_packages(caller: Caller) -> Select[Any]:
    """The packages that a caller may see; a mirror sees those that it sees a file of."""
    query = select(packages)
    if caller.role == Role.MIRROR:
        names = visible_files(caller).with_only_columns(package_files.c.package)
        query = query.where(packages.c.name.in_(names))
    return query


def served_file() -> Select[Any]:
    """A session's name, role, end and rights, and the SHA-256 of the file that its caller may download, if any.

    Who asks and what the caller may see are one query, since downloads are the most frequent requests. Its parameters
    are `token_hash` and `file_name`. Several files of one name have the same bytes.
    """
    named = package_files.c.file_name == bindparam("file_name")

    def seen(role: Role) -> ScalarSelect[Any]:
        query = visible_files_of(role, sessions.c.name).with_only_columns(package_files.c.sha256)
        return query.where(named).limit(1).scalar_subquery()

    sha256 = case((sessions.c.role == Role.MIRROR, seen(Role.MIRROR)), else_=seen(Role.ADMIN))
    columns = (sessions.c.name, sessions.c.role, sessions.c.expires, sessions.c.rights, sha256.label("sha256"))
    return select(*columns).where(sessions.c.token_hash == bindparam("token_hash"))
