"""Keeps a list of URIs on disk while a sync works with it, since a server may list very many.

It stands in a file of its own beside the state database, which has no name any more from the moment it is open: nothing
is left of it after a crash. A short list never leaves SQLite's cache.
"""

import os
import sqlite3
import tempfile
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packrat_core.errors import DiskError

PORTION = 1000
_MANY = 500
_CACHE_KIB = 4096


class Listing(Collection[str]):
    """URIs, each once, in the order in which they came; some of them are marked as unread."""

    def __init__(self, directory: Path) -> None:
        """Make an empty list, with its file in `directory`.

        Raises:
            DiskError: It can't be made.
        """
        with _disk_errors(directory):
            handle, path = tempfile.mkstemp(prefix=".listing-", dir=directory)
            os.close(handle)
            try:
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                # Nobody else sees it, and nothing of it is needed after a crash.
                self._db.executescript(
                    f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; "
                    f"PRAGMA cache_size = -{_CACHE_KIB}; "
                    "CREATE TABLE listed (number INTEGER PRIMARY KEY, uri TEXT NOT NULL UNIQUE); "
                    "CREATE TABLE unread (number INTEGER PRIMARY KEY); BEGIN"
                )
            finally:
                Path(path).unlink()
        self._directory = directory
        weakref.finalize(self, self._db.close)

    def clear(self) -> None:
        """Forget all URIs.

        Raises:
            DiskError: The disk fails.
        """
        with _disk_errors(self._directory):
            self._db.execute("DELETE FROM listed")
            self._db.execute("DELETE FROM unread")

    def add(self, uris: Sequence[str]) -> None:
        """Add URIs; those that are there already are passed over.

        Raises:
            DiskError: The disk is full, or fails.
        """
        with _disk_errors(self._directory):
            self._db.executemany("INSERT OR IGNORE INTO listed (uri) VALUES (?)", ((uri,) for uri in uris))

    def mark_unread(self, uris: Sequence[str]) -> None:
        """Mark some of the URIs as unread.

        Raises:
            DiskError: The disk is full, or fails.
        """
        with _disk_errors(self._directory):
            sql = "INSERT OR IGNORE INTO unread (number) SELECT number FROM listed WHERE uri = ?"
            self._db.executemany(sql, ((uri,) for uri in uris))

    @property
    def unread_count(self) -> int:
        """The number of URIs that are marked as unread."""
        with _disk_errors(self._directory):
            return int(self._db.execute("SELECT count(*) FROM unread").fetchone()[0])

    def portions(self, size: int = PORTION, *, unread: bool = False) -> Iterator[list[str]]:
        """Give the URIs, so many at a time, in order.

        Args:
            size: The number of URIs in each portion but the last.
            unread: Only those that are marked as unread.

        Raises:
            DiskError: The disk fails.
        """
        which = "listed JOIN unread USING (number)" if unread else "listed"
        sql = f"SELECT number, uri FROM {which} WHERE number > ? ORDER BY number LIMIT ?"
        after = 0
        while True:
            with _disk_errors(self._directory):
                rows = self._db.execute(sql, (after, size)).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield [uri for _, uri in rows]

    def missing(self, uris: Sequence[str]) -> list[str]:
        """Give those of some URIs that are not in the list.

        Raises:
            DiskError: The disk fails.
        """
        found: set[str] = set()
        for start in range(0, len(uris), _MANY):
            some = uris[start : start + _MANY]
            with _disk_errors(self._directory):
                sql = f"SELECT uri FROM listed WHERE uri IN ({', '.join('?' * len(some))})"
                found.update(uri for (uri,) in self._db.execute(sql, some))
        return [uri for uri in uris if uri not in found]

    def __contains__(self, uri: object) -> bool:
        with _disk_errors(self._directory):
            return self._db.execute("SELECT 1 FROM listed WHERE uri = ?", (uri,)).fetchone() is not None

    def __len__(self) -> int:
        with _disk_errors(self._directory):
            return int(self._db.execute("SELECT count(*) FROM listed").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        for portion in self.portions():
            yield from portion


def missing_from(offered: Collection[str], uris: Sequence[str]) -> list[str]:
    """Give those of some URIs that are not offered; a long list on disk is asked for many at a time."""
    return offered.missing(uris) if isinstance(offered, Listing) else [uri for uri in uris if uri not in offered]


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise DiskError(
            f"can't keep a list of the server in a file in {directory}: {error}", hint="make room, or check the disk"
        ) from error
