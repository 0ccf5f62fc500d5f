"""Remembers what changed, in order, and wakes those who wait for it.

Takes: changes inside the transaction that makes them; positions.
Gives: what changed since a position.
Touches: the database.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select

from packrat_server.store.tables import (
    journal,
    mirror_repos,
    package_file_tags,
    package_files,
    repo_distro_versions,
    repos,
)

_KEPT_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Since:
    """What changed: repository → package names (None: no longer known), and whether the mirror itself did."""

    position: str
    repos: dict[str, set[str] | None]
    mirror: bool


class Bell:
    """Wakes the coroutines that wait for a change; may be rung from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self.closed = False
        """The server is about to stop: nobody waits any longer."""

    def ring(self) -> None:
        """Something changed."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Let everyone who waits go."""
        self.closed = True
        self.ring()

    def wait(self) -> asyncio.Future[None]:
        """Give what the next ring completes; take it before looking, so that no ring is missed."""
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    def _wake(self) -> None:
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)


def note_file(connection: Connection, package_file: int, tags: Iterable[str] | None = None) -> None:
    """Note that repositories gained or lost a file; tags: those concerned, by default all that it has."""
    if tags is None:
        tags = connection.execute(
            select(package_file_tags.c.tag).where(package_file_tags.c.package_file == package_file)
        ).scalars()
    concerned = (
        select(repos.c.name, package_files.c.package)
        .join(repo_distro_versions, repo_distro_versions.c.repo == repos.c.name)
        .join(package_files, package_files.c.distro_version == repo_distro_versions.c.distro_version)
        .where(package_files.c.id == package_file, repos.c.tag.in_(list(tags)))
        .order_by(repos.c.name)
    )
    for repo, package in connection.execute(concerned).all():
        _append(connection, repo=repo, package=package)


def note_repo(connection: Connection, repo: str) -> None:
    """Note that a repository's own record changed, for every mirror that has it."""
    for mirror in connection.execute(select(mirror_repos.c.mirror).where(mirror_repos.c.repo == repo)).scalars().all():
        note_mirror(connection, mirror)


def note_mirror(connection: Connection, mirror: str) -> None:
    """Note that a mirror's own record changed."""
    _append(connection, mirror=mirror)


def newest(connection: Connection) -> int:
    """The id of the last change, 0 where nothing ever changed."""
    return connection.execute(select(func.max(journal.c.id))).scalar() or 0


def begin(connection: Connection) -> None:
    """Note the beginning, so that there always is a position."""
    _append(connection)


def read_position(connection: Connection) -> str:
    """The present position."""
    row = connection.execute(select(journal.c.id, journal.c.mark).order_by(journal.c.id.desc()).limit(1)).one()
    return f"{row.id}-{row.mark}"


def read_since(connection: Connection, mirror: str, position: str) -> Since:
    """Tell what changed for a mirror since a position; a position that is not known makes all of it unknown."""
    names = connection.execute(select(mirror_repos.c.repo).where(mirror_repos.c.mirror == mirror)).scalars().all()
    present = read_position(connection)
    at = _known(connection, position)
    if at is None:
        return Since(present, dict.fromkeys(names), True)
    rows = connection.execute(
        select(journal.c.repo, journal.c.package, journal.c.mirror)
        .where(journal.c.id > at)
        .where(or_(journal.c.repo.in_(names), journal.c.mirror == mirror))
    )
    changed: dict[str, set[str] | None] = {}
    itself = False
    for repo, package, _mirror in rows:
        if repo is None:
            itself = True
        else:
            known = changed.setdefault(repo, set())
            if known is not None:
                known.add(package)
    return Since(present, changed, itself)


def read_names(connection: Connection, repo: str, after: int) -> list[str]:
    """The packages of a repository that changed after a journal id, newest first."""
    rows = connection.execute(
        select(journal.c.package)
        .where(journal.c.repo == repo, journal.c.id > after, journal.c.package.is_not(None))
        .order_by(journal.c.id.desc())
    ).scalars()
    return list(dict.fromkeys(rows))


def prune(connection: Connection) -> None:
    """Forget the oldest changes; who asks for them is told to list everything."""
    connection.execute(delete(journal).where(journal.c.id <= newest(connection) - _KEPT_ROWS))


def _known(connection: Connection, position: str) -> int | None:
    number, _, mark = position.partition("-")
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        return None
    row = connection.execute(select(journal.c.mark).where(journal.c.id == int(number))).first()
    return int(number) if row is not None and row.mark == mark else None


def _append(
    connection: Connection, repo: str | None = None, package: str | None = None, mirror: str | None = None
) -> None:
    connection.execute(
        insert(journal).values(mark=secrets.token_hex(4), at=time.time(), repo=repo, package=package, mirror=mirror)
    )
