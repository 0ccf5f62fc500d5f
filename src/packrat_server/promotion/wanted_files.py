"""Lists the package files that a repository wants: by its tag, its distribution versions, and "newest only"."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from packrat_server.latest import pick_latest
from packrat_server.store.tables import package_file_tags, package_files, repo_distro_versions, repos

_PARAMETERS_LIMIT = 500
"""Number of package names that one query takes; each is a parameter of the database."""


def wanted_files(connection: Connection, repo: str, names: Sequence[str] | None) -> list[int]:
    """List the files that a repository wants.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        names: Only the files of these packages; None or empty for all.

    Returns:
        The ids of the files, in the order they were made.
    """
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
    if names and len(names) <= _PARAMETERS_LIMIT:
        query = query.where(package_files.c.package.in_(names))
    found: Sequence[Any] = connection.execute(query).all()
    if names and len(names) > _PARAMETERS_LIMIT:
        # A database takes a limited number of parameters, so a long list is filtered here.
        packages = set(names)
        found = [file for file in found if file.package in packages]
    if row.show_only_latest:
        # Files of other architectures or distribution versions are never versions of each other.
        found = pick_latest(
            found,
            lambda file: (file.package, file.distro_version, file.type, file.arch),
            lambda file: (file.type, f"{file.epoch}:{file.version}" if file.epoch else file.version),
        )
    return [file.id for file in found]
