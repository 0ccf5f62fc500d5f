"""Says which package files a repository takes, and which distribution versions and repositories belong to what."""

from sqlalchemy import Connection, select

from packrat_server.store.tables import mirror_repos, package_file_tags, package_files, repo_distro_versions, repos

FILES_IN_REPOS = (
    package_files.join(package_file_tags, package_file_tags.c.package_file == package_files.c.id)
    .join(repos, repos.c.tag == package_file_tags.c.tag)
    .join(
        repo_distro_versions,
        (repo_distro_versions.c.repo == repos.c.name)
        & (repo_distro_versions.c.distro_version == package_files.c.distro_version),
    )
)
"""Each package file with each repository that takes it: one of its tag, and of its distribution version.

`listed_files` tells which of them the repository offers.
"""


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
