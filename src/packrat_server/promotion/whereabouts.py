"""Says which mirrors have published a package file."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from packrat_server.promotion.wanted_files import listed_files
from packrat_server.store.membership import FILES_IN_REPOS
from packrat_server.store.reports import Publication, find_publication
from packrat_server.store.tables import mirror_repos, package_files, repos


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A mirror's repository that offers a file.

    Attributes:
        mirror: The name of the mirror.
        repo: The name of the repository.
        file_id: The package file.
        distro: Its distribution version.
        publication: Whether the mirror has published it.
    """

    mirror: str
    repo: str
    file_id: int
    distro: str
    publication: Publication


def find_whereabouts(connection: Connection, file_name: str) -> Iterator[Whereabouts]:
    """Find the repositories of mirrors that offer the files of a name, and which mirrors have published them."""
    listed = (
        select(package_files.c.id, package_files.c.package, package_files.c.distro_version, repos.c.name)
        .select_from(FILES_IN_REPOS)
        .where(package_files.c.file_name == file_name)
        .order_by(repos.c.name, package_files.c.id)
    )
    for row in connection.execute(listed).all():
        # A newer version may have taken its place, or a mark may have taken it out.
        if row.id not in listed_files(connection, row.name, [row.package]):
            continue
        names = select(mirror_repos.c.mirror).where(mirror_repos.c.repo == row.name).order_by(mirror_repos.c.mirror)
        for mirror in connection.execute(names).scalars().all():
            publication = find_publication(connection, mirror, row.name, row.package)
            yield Whereabouts(mirror, row.name, row.id, row.distro_version, publication)
