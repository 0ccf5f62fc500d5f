"""Finds repositories of a mirror whose directories contain each other: an agent leaves the later ones out."""

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, select

from packrat_server.store.membership import mirror_repo_names
from packrat_server.store.tables import mirror_repos, repos


def find_overlaps(connection: Connection, mirror: str, changed: Collection[str]) -> Iterator[str]:
    """Say which repositories a mirror leaves out because of a change, a sentence each.

    Args:
        connection: The transaction, after the change.
        mirror: The name of the mirror.
        changed: The repositories that the change is about; overlaps of others were there before.
    """
    names = mirror_repo_names(connection, mirror)
    rows = connection.execute(select(repos.c.name, repos.c.directory).where(repos.c.name.in_(names)))
    directories = {row.name: row.directory for row in rows}
    for at, name in enumerate(names):
        for earlier in names[:at]:
            if {name, earlier} & set(changed) and _contain(directories[name], directories[earlier]):
                yield (
                    f"mirror {mirror} leaves repository {name} out: its directory {directories[name]} and "
                    f"{directories[earlier]} of {earlier} contain each other"
                )


def find_overlaps_of(connection: Connection, repo: str) -> Iterator[str]:
    """Say which repositories mirrors leave out since this one has another directory, a sentence each."""
    on = select(mirror_repos.c.mirror).where(mirror_repos.c.repo == repo).order_by(mirror_repos.c.mirror)
    for mirror in connection.execute(on).scalars().all():
        yield from find_overlaps(connection, mirror, [repo])


def _contain(directory: str, other: str) -> bool:
    return f"{directory}/".startswith(f"{other}/") or f"{other}/".startswith(f"{directory}/")
