"""Reads which distribution versions a repository has, and which repositories a mirror has, in their order."""

from sqlalchemy import Connection, select

from packrat_server.store.tables import mirror_repos, repo_distro_versions


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
