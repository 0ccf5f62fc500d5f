"""Keeps what each mirror reports as published: for each repository, the position up to which its index is complete.

1. A mirror reports after a sync of a repository that left nothing undone. The last report of each repository is kept.
2. When a repository changes for a mirror, its last report of it no longer counts, and neither does a report that is on
   its way: a row without a digest has the position that the next report must have reached.
3. Where the journal does not go back to a report, nobody knows what changed since.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from packrat_server.store.journal import find_entry, newest, note_repo
from packrat_server.store.tables import journal, mirror_reports, mirror_repos, mirrors

# Built once: to build one takes longer than to run it.
_REPOS = select(mirror_repos.c.repo).where(mirror_repos.c.mirror == bindparam("of_mirror"))
_OF_REPO = (mirror_reports.c.mirror == bindparam("of_mirror"), mirror_reports.c.repo == bindparam("of_repo"))
_KNOWN = select(mirror_reports.c.entry).where(*_OF_REPO)
_FORGET = delete(mirror_reports).where(*_OF_REPO)
_SAVE = insert(mirror_reports)
_ALIVE = (
    update(mirrors)
    .where(mirrors.c.name == bindparam("of_mirror"))
    .values(last_heartbeat=bindparam("now"), updated=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Report:
    """A mirror's report on one repository.

    Attributes:
        repo: The name of the repository.
        position: The position in the journal up to which everything is published.
        digest: The SHA-256 of its index files.
    """

    repo: str
    position: str
    digest: str


@dataclass(frozen=True, slots=True)
class Publication:
    """Whether a mirror has published the present files of a package.

    Attributes:
        is_there: None where the journal does not go back to the mirror's last report, so that nobody knows.
        reported_at: When the mirror reported; None where it is not there.
    """

    is_there: bool | None
    reported_at: datetime | None


def note_alive(connection: Connection, mirror: str) -> None:
    """Note that a mirror is alive."""
    connection.execute(_ALIVE, {"of_mirror": mirror, "now": datetime.now(UTC)})


def save_reports(connection: Connection, mirror: str, reports: Iterable[Report]) -> None:
    """Keep reports of a mirror; those of repositories that it does not have, or of positions that are unknown or older
    than what is known already, are left out.

    Args:
        connection: A writing transaction.
        mirror: The name of the mirror.
        reports: What it says.
    """
    own = set(connection.execute(_REPOS, {"of_mirror": mirror}).scalars())
    now = datetime.now(UTC)
    for report in reports:
        entry = find_entry(connection, report.position)
        if report.repo not in own or entry is None:
            continue
        known = connection.execute(_KNOWN, {"of_mirror": mirror, "of_repo": report.repo}).scalar()
        if known is None or entry >= known:
            _replace(connection, mirror, report, entry, now)


def note_changed_repo(connection: Connection, repo: str) -> None:
    """Note in the journal that a repository changed, so that no report of before counts any more."""
    note_repo(connection, repo)
    expect_reports(connection, repo)


def expect_reports(connection: Connection, repo: str, mirrors: Iterable[str] | None = None) -> None:
    """Let no report of a repository count that was made before now, since the repository changed.

    Args:
        connection: The transaction that makes the change, after it was noted in the journal.
        repo: The name of the repository.
        mirrors: The mirrors for which it changed; None for all that have it.
    """
    entry, now = newest(connection), datetime.now(UTC)
    if mirrors is None:
        mirrors = connection.execute(select(mirror_repos.c.mirror).where(mirror_repos.c.repo == repo)).scalars().all()
    for mirror in mirrors:
        _replace(connection, mirror, Report(repo, "", ""), entry, now)


def _replace(connection: Connection, mirror: str, report: Report, entry: int, at: datetime) -> None:
    connection.execute(_FORGET, {"of_mirror": mirror, "of_repo": report.repo})
    values = {"mirror": mirror, "repo": report.repo, "position": report.position, "entry": entry}
    connection.execute(_SAVE, {**values, "digest": report.digest, "at": at})


def read_reports(connection: Connection, mirror: str) -> list[dict[str, Any]]:
    """List the last report of each repository of a mirror, in the mirror's order; None where there is none yet."""
    rows = connection.execute(
        select(mirror_repos.c.repo, mirror_reports.c.position, mirror_reports.c.digest, mirror_reports.c.at)
        .outerjoin(
            mirror_reports,
            (mirror_reports.c.mirror == mirror_repos.c.mirror)
            & (mirror_reports.c.repo == mirror_repos.c.repo)
            & (mirror_reports.c.digest != ""),
        )
        .where(mirror_repos.c.mirror == mirror)
        .order_by(mirror_repos.c.ordinal)
    )
    return [{"repo": row.repo, "position": row.position, "digest": row.digest, "at": row.at} for row in rows]


def find_publication(connection: Connection, mirror: str, repo: str, package: str) -> Publication:
    """Tell whether a mirror's index of a repository has the present files of a package.

    Args:
        connection: An open transaction.
        mirror: The name of the mirror.
        repo: The name of the repository.
        package: The name of the package.
    """
    where = (mirror_reports.c.mirror == mirror, mirror_reports.c.repo == repo, mirror_reports.c.digest != "")
    report = connection.execute(select(mirror_reports.c.entry, mirror_reports.c.at).where(*where)).first()
    changed = connection.execute(
        select(func.max(journal.c.id)).where(journal.c.repo == repo, journal.c.package == package)
    ).scalar()
    if report is None or report.entry < (changed or 0):
        return Publication(False, None)
    oldest = connection.execute(select(func.min(journal.c.id))).scalar()
    # A change after the report may have been pruned.
    return Publication(None if report.entry < (oldest or 0) else True, report.at)


def forget_reports(connection: Connection, mirror: str, kept: Collection[str] = ()) -> None:
    """Forget what a mirror said of repositories that it does not build any more.

    Args:
        connection: A writing transaction.
        mirror: The name of the mirror.
        kept: The repositories that it builds.
    """
    gone = (mirror_reports.c.mirror == mirror, mirror_reports.c.repo.not_in(list(kept)))
    connection.execute(delete(mirror_reports).where(*gone))
