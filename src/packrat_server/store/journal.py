"""Keeps the journal: what changed, in order, so that a mirror can ask what changed since a position.

1. A change is noted in the transaction that makes it: both become visible at the same moment, or neither does.
2. A position is `ID-MARK`. The mark is random, so that a position from before the database was restored from a backup
   is recognized, although another change has its id by now.
3. For a position that is unknown or was pruned, the answer is "anything may have changed".

Usage:

    with writing(engine) as connection:
        ...change a package file...
        note_file(connection, file_id)
    with reading(engine) as connection:
        since = read_since(connection, "lab", "4711-a1b2c3d4")
"""

import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, or_, select

from packrat_server.store.tables import (
    journal,
    mirror_repos,
    package_file_tags,
    package_files,
    repo_distro_versions,
    repos,
)

_KEPT_ROWS = 200_000
_ROWS_AT_ONCE = 1000
_NAMES: BindParameter[str] = bindparam("names", expanding=True)
# Built once: they are run for every change, and to build one takes longer than to run it.
_ENTRIES = (
    select(journal.c.id, journal.c.mark, journal.c.repo, journal.c.package, journal.c.mirror, journal.c.file)
    .where(journal.c.id > bindparam("after"))
    .order_by(journal.c.id)
    .limit(bindparam("count"))
)
_TOUCHED = (
    select(journal.c.package, journal.c.file)
    .distinct()
    .where(journal.c.repo == bindparam("repo"), journal.c.id > bindparam("after"))
    .limit(bindparam("count"))
)
_TAGS_OF_FILE = select(package_file_tags.c.tag).where(package_file_tags.c.package_file == bindparam("file"))
_CONCERNED = (
    select(repos.c.name, package_files.c.package)
    .join(repo_distro_versions, repo_distro_versions.c.repo == repos.c.name)
    .join(package_files, package_files.c.distro_version == repo_distro_versions.c.distro_version)
    .where(package_files.c.id == bindparam("file"), repos.c.tag.in_(_NAMES))
    .order_by(repos.c.name)
)
_NEWEST_ID = select(func.max(journal.c.id))
_NEWEST = select(journal.c.id, journal.c.mark).order_by(journal.c.id.desc()).limit(1)
_MARK = select(journal.c.mark).where(journal.c.id == bindparam("entry"))
_REPOS_OF_MIRROR = select(mirror_repos.c.repo).where(mirror_repos.c.mirror == bindparam("mirror"))
_CHANGED = (
    # A mirror that was away for long would read many rows for each package that changes often.
    select(journal.c.repo, journal.c.package, journal.c.mirror)
    .distinct()
    .where(journal.c.id > bindparam("after"))
    .where(or_(journal.c.repo.in_(_NAMES), journal.c.mirror == bindparam("mirror")))
)
_APPEND = insert(journal)

Touched = Mapping[str, Collection[int] | None]
"""Names of packages that changed → the ids of their files that did, which may be deleted by now; None: any of them."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the journal: after the entry with this id and mark."""

    id: int
    mark: str

    def __str__(self) -> str:
        """Write the position as mirrors get it."""
        return f"{self.id}-{self.mark}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a change of a package in a repository, or of a mirror's own record."""

    id: int
    mark: str
    repo: str | None
    package: str | None
    mirror: str | None
    file: int | None = None


@dataclass(frozen=True, slots=True)
class ChangesSince:
    """The changes for a mirror since a position.

    Attributes:
        newest: The present position, to ask from next time.
        all_repos: The repositories of the mirror.
        repos: Repository → names of its packages that changed; None: any package may have changed.
        mirror: Whether the mirror's own record changed.
        after: The journal's entry in the position; None where it is not known.
    """

    newest: Position
    all_repos: frozenset[str]
    repos: dict[str, set[str] | None]
    mirror: bool
    after: int | None


def note_file(connection: Connection, package_file: int, tags: Iterable[str] | None = None) -> None:
    """Note that repositories gained or lost a file.

    Args:
        connection: The transaction that makes the change.
        package_file: The id of the file.
        tags: Only repositories of these tags are concerned; by default those of all tags that the file has.
    """
    if tags is None:
        tags = connection.execute(_TAGS_OF_FILE, {"file": package_file}).scalars()
    concerned = connection.execute(_CONCERNED, {"file": package_file, "names": list(tags)})
    rows = [{"repo": row.name, "package": row.package, "file": package_file} for row in concerned]
    _append(connection, rows)


def note_repo(connection: Connection, repo: str) -> None:
    """Note that a repository's own record changed, for every mirror that has it."""
    names = connection.execute(select(mirror_repos.c.mirror).where(mirror_repos.c.repo == repo)).scalars()
    _append(connection, [{"mirror": name} for name in names])


def note_mirror(connection: Connection, mirror: str) -> None:
    """Note that a mirror's own record changed."""
    _append(connection, [{"mirror": mirror}])


def newest(connection: Connection) -> int:
    """The id of the last change, 0 where nothing ever changed."""
    return connection.execute(_NEWEST_ID).scalar() or 0


def begin(connection: Connection) -> None:
    """Write the first entry, so that there always is a position."""
    _append(connection, [{}])


def read_newest(connection: Connection) -> Position:
    """The present position."""
    row = connection.execute(_NEWEST).one()
    return Position(row.id, row.mark)


def read_entries(connection: Connection, after: int, count: int) -> list[Entry]:
    """Read entries after an id, the oldest first, up to a number.

    Args:
        connection: The database.
        after: The id.
        count: How many at the most.
    """
    rows = connection.execute(_ENTRIES, {"after": after, "count": count}).all()
    return [Entry(*row) for row in rows]


def read_since(connection: Connection, mirror: str, position: str) -> ChangesSince:
    """Return the changes for a mirror since a position.

    Args:
        connection: An open transaction.
        mirror: The name of the mirror.
        position: What an earlier answer gave.

    Returns:
        The changes; where the position is not known, everything may have changed.
    """
    names = connection.execute(_REPOS_OF_MIRROR, {"mirror": mirror}).scalars().all()
    present, all_repos = read_newest(connection), frozenset(names)
    after = find_entry(connection, position)
    if after is None:
        return ChangesSince(present, all_repos, dict.fromkeys(names), True, None)
    rows = connection.execute(_CHANGED, {"after": after, "names": names, "mirror": mirror}).all()
    changed: dict[str, set[str]] = {}
    mirror_changed = False
    for repo, package, _mirror in rows:
        if repo is None:
            mirror_changed = True
        else:
            changed.setdefault(repo, set()).add(package)
    return ChangesSince(present, all_repos, {**changed}, mirror_changed, after)


def read_touched(connection: Connection, repo: str, after: int, limit: int) -> Touched | None:
    """Tell which files of a repository changed after an entry.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        after: The id of the entry.
        limit: The largest number of files to name.

    Returns:
        The files by package; None where there are more.
    """
    rows = connection.execute(_TOUCHED, {"repo": repo, "after": after, "count": limit + 1}).all()
    return None if len(rows) > limit else group_touched(tuple(row) for row in rows)


def group_touched(changes: Iterable[tuple[str, int | None]]) -> Touched:
    """Group the files that changed, of each the package and the id, by package."""
    touched: dict[str, set[int] | None] = {}
    for package, file in changes:
        known = touched.setdefault(package, set())
        # If one change doesn't name its file, the list of touched files is not complete.
        if file is None or known is None:
            touched[package] = None
        else:
            known.add(file)
    return touched


def read_names(connection: Connection, repo: str, after: int) -> list[str]:
    """List the packages of a repository that changed after a journal id, newest first.

    Args:
        connection: The database.
        repo: The name of the repository.
        after: The id.
    """
    rows = connection.execute(
        select(journal.c.package)
        .where(journal.c.repo == repo, journal.c.id > after, journal.c.package.is_not(None))
        .order_by(journal.c.id.desc())
    ).scalars()
    return list(dict.fromkeys(rows))


def prune(connection: Connection) -> None:
    """Remove the oldest entries; a mirror that asks from before them learns that everything may have changed."""
    connection.execute(delete(journal).where(journal.c.id <= newest(connection) - _KEPT_ROWS))


def find_entry(connection: Connection, position: str) -> int | None:
    """The id in a position; None where it is malformed, was pruned, or belongs to another history."""
    number, _, mark = position.partition("-")
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        return None
    row = connection.execute(_MARK, {"entry": int(number)}).first()
    return int(number) if row is not None and row.mark == mark else None


def _append(connection: Connection, entries: Sequence[Mapping[str, str | int]]) -> None:
    """Add entries in one statement, which wakes each server process once."""
    empty = {"repo": None, "package": None, "mirror": None, "file": None}
    rows = [{**empty, "mark": secrets.token_hex(4), "at": time.time(), **entry} for entry in entries]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        # A list of parameters would be a statement, and so a notification, for each row.
        if len(some) == 1:
            connection.execute(_APPEND, some[0])
        else:
            connection.execute(_APPEND.values(some))
