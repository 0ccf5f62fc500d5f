"""Keeps what each mirror says that it has published: the position that the index of a repository stands for.

A mirror reports after a sync of a repository that left nothing undone. The last report of each repository is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from packrat_server.store.journal import find_entry
from packrat_server.store.tables import journal, mirror_reports, mirror_repos


@dataclass(frozen=True, slots=True)
class Report:
    """What a mirror says of one repository.

    Attributes:
        repo: The name of the repository.
        position: The position in the journal up to which everything is published.
        digest: The SHA-256 of its index files.
    """

    repo: str
    position: str
    digest: str


def save_reports(connection: Connection, mirror: str, reports: Iterable[Report]) -> None:
    """Keep reports of a mirror, but none of a repository that it does not have, or of an unknown or older position.

    Args:
        connection: A writing transaction.
        mirror: The name of the mirror.
        reports: What it says.
    """
    own = set(connection.execute(select(mirror_repos.c.repo).where(mirror_repos.c.mirror == mirror)).scalars())
    now = datetime.now(UTC)
    for report in reports:
        entry = find_entry(connection, report.position)
        if report.repo not in own or entry is None:
            continue
        where = (mirror_reports.c.mirror == mirror, mirror_reports.c.repo == report.repo)
        # Syncs may end in another order than they began in.
        if (connection.execute(select(mirror_reports.c.entry).where(*where)).scalar() or 0) > entry:
            continue
        connection.execute(delete(mirror_reports).where(*where))
        values = {"mirror": mirror, "repo": report.repo, "position": report.position, "entry": entry}
        connection.execute(insert(mirror_reports).values(**values, digest=report.digest, at=now))


def read_reports(connection: Connection, mirror: str) -> list[dict[str, Any]]:
    """List the last report of each repository of a mirror, in the mirror's order; None where there is none yet."""
    rows = connection.execute(
        select(mirror_repos.c.repo, mirror_reports.c.position, mirror_reports.c.digest, mirror_reports.c.at)
        .outerjoin(
            mirror_reports,
            (mirror_reports.c.mirror == mirror_repos.c.mirror) & (mirror_reports.c.repo == mirror_repos.c.repo),
        )
        .where(mirror_repos.c.mirror == mirror)
        .order_by(mirror_repos.c.ordinal)
    )
    return [{"repo": row.repo, "position": row.position, "digest": row.digest, "at": row.at} for row in rows]


def has_published(connection: Connection, mirror: str, repo: str, package: str) -> datetime | None:
    """Tell since when a mirror's index of a repository has the present files of a package; None where it has not.

    Args:
        connection: An open transaction.
        mirror: The name of the mirror.
        repo: The name of the repository.
        package: The name of the package.
    """
    where = (mirror_reports.c.mirror == mirror, mirror_reports.c.repo == repo)
    report = connection.execute(select(mirror_reports).where(*where)).first()
    changed = connection.execute(
        select(func.max(journal.c.id)).where(journal.c.repo == repo, journal.c.package == package)
    ).scalar()
    if report is None or report.entry < (changed or 0):
        return None
    at: datetime = report.at
    return at
