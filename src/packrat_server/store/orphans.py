"""Remembers the stored files that no record names any more, and since when: they are deleted a day later."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, insert, select

from packrat_server.store.tables import orphans, package_files, uploads

_AT_ONCE = 1000


def add_orphans(connection: Connection, hashes: Iterable[str], now: float) -> None:
    """Note files that a record named until now, as far as no other one does.

    Args:
        connection: A writing transaction.
        hashes: The SHA-256 of the files.
        now: The time, in seconds since the epoch.
    """
    for sha256 in set(hashes):
        if not is_named(connection, sha256):
            # From now on: it may have been an orphan before, and named again since.
            forget_orphan(connection, sha256)
            connection.execute(insert(orphans).values(sha256=sha256, since=now))


def note_unnamed(connection: Connection, hashes: Collection[str], now: float) -> int:
    """Note files of which nothing is known, such as those of a server that was killed; gives how many are new.

    Args:
        connection: A writing transaction.
        hashes: The SHA-256 of all stored files that no record names.
        now: The time, in seconds since the epoch.
    """
    known = set(connection.execute(select(orphans.c.sha256)).scalars())
    rows = [{"sha256": sha256, "since": now} for sha256 in sorted(set(hashes) - known)]
    if rows:
        connection.execute(insert(orphans), rows)
    return len(rows)


def due_orphans(connection: Connection, until: float) -> list[str]:
    """List files that have been orphans since a time or before, at most as many as are removed at once."""
    query = select(orphans.c.sha256).where(orphans.c.since <= until).order_by(orphans.c.since).limit(_AT_ONCE)
    return list(connection.execute(query).scalars())


def forget_orphan(connection: Connection, sha256: str) -> None:
    """Forget a file that was removed, or has a record again."""
    connection.execute(delete(orphans).where(orphans.c.sha256 == sha256))


def is_named(connection: Connection, sha256: str) -> bool:
    """Whether a package file or an upload names a stored file."""
    return any(
        connection.execute(select(table.c.sha256).where(table.c.sha256 == sha256).limit(1)).first() is not None
        for table in (package_files, uploads)
    )
