"""Keeps a list of URIs while a sync works with it: a short one in memory, a long one on disk.

A server may list very many. A long list stands in a file of its own beside the state database, which has no name any
more from the moment it is open: nothing is left of it after a crash.
"""

import os
import sqlite3
import tempfile
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from packrat_core.errors import DiskError

PORTION = 1000
_MANY = 500
_CACHE_KIB = 4096
_SHORT_SIZE = 2_000_000
"""Size of the longest list that is held in memory: about 15,000 URIs."""
_URI_SIZE = 100
"""Bytes of memory that each URI takes beside its characters, roughly."""


class Listing(Collection[str]):
    """URIs, each once, in the order in which they came; some of them are marked as unread."""

    def __init__(self, directory: Path, short_size: int = _SHORT_SIZE) -> None:
        """Make an empty list; `directory` is where it stands on disk once it is longer than `short_size`."""
        self._directory = directory
        self._short_size = short_size
        self._held: _InMemory | _OnDisk = _InMemory()

    def clear(self) -> None:
        """Forget all URIs.

        Raises:
            DiskError: The disk fails.
        """
        self._held.clear()

    def add(self, uris: Sequence[str]) -> None:
        """Add URIs; those that are there already are passed over.

        Raises:
            DiskError: The disk is full, or fails.
        """
        self._held.add(uris)
        if isinstance(self._held, _InMemory) and self._held.size > self._short_size:
            on_disk = _OnDisk(self._directory)
            on_disk.add(list(self._held.uris))
            on_disk.mark_unread([uri for uri, is_unread in self._held.uris.items() if is_unread])
            self._held = on_disk

    def mark_unread(self, uris: Sequence[str]) -> None:
        """Mark some of the URIs as unread.

        Raises:
            DiskError: The disk is full, or fails.
        """
        self._held.mark_unread(uris)

    @property
    def unread_count(self) -> int:
        """The number of URIs that are marked as unread."""
        return self._held.unread_count

    def portions(self, size: int = PORTION, *, unread: bool = False) -> Iterator[list[str]]:
        """Give the URIs in order, a portion at a time; they can be marked during the iteration.

        Args:
            size: The number of URIs in each portion but the last.
            unread: Only those that are marked as unread.

        Raises:
            DiskError: The disk fails.
        """
        return self._held.portions(size, unread=unread)

    def missing(self, uris: Sequence[str]) -> list[str]:
        """Give those of some URIs that are not in the list.

        Raises:
            DiskError: The disk fails.
        """
        return self._held.missing(uris)

    def __contains__(self, uri: object) -> bool:
        return uri in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        for portion in self.portions():
            yield from portion


class _InMemory:
    """A short list: `uris` maps each URI to whether it is unread."""

    def __init__(self) -> None:
        self.uris: dict[str, bool] = {}
        self.size = 0

    def clear(self) -> None:
        self.uris.clear()
        self.size = 0

    def add(self, uris: Sequence[str]) -> None:
        for uri in uris:
            self.uris.setdefault(uri, False)
        self.size += sum(map(len, uris)) + _URI_SIZE * len(uris)

    def mark_unread(self, uris: Sequence[str]) -> None:
        self.uris.update((uri, True) for uri in uris if uri in self.uris)

    @property
    def unread_count(self) -> int:
        return sum(self.uris.values())

    def portions(self, size: int, *, unread: bool) -> Iterator[list[str]]:
        rest = iter([uri for uri, is_unread in self.uris.items() if is_unread or not unread])
        while portion := list(islice(rest, size)):
            yield portion

    def missing(self, uris: Sequence[str]) -> list[str]:
        return [uri for uri in uris if uri not in self.uris]

    def __contains__(self, uri: object) -> bool:
        return uri in self.uris

    def __len__(self) -> int:
        return len(self.uris)


class _OnDisk:
    """A long list, in an SQLite file; whatever reads or writes it raises DiskError where the disk fails."""

    def __init__(self, directory: Path) -> None:
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
        with _disk_errors(self._directory):
            self._db.execute("DELETE FROM listed")
            self._db.execute("DELETE FROM unread")

    def add(self, uris: Sequence[str]) -> None:
        with _disk_errors(self._directory):
            self._db.executemany("INSERT OR IGNORE INTO listed (uri) VALUES (?)", ((uri,) for uri in uris))

    def mark_unread(self, uris: Sequence[str]) -> None:
        with _disk_errors(self._directory):
            sql = "INSERT OR IGNORE INTO unread (number) SELECT number FROM listed WHERE uri = ?"
            self._db.executemany(sql, ((uri,) for uri in uris))

    @property
    def unread_count(self) -> int:
        with _disk_errors(self._directory):
            return int(self._db.execute("SELECT count(*) FROM unread").fetchone()[0])

    def portions(self, size: int, *, unread: bool) -> Iterator[list[str]]:
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
        found: set[str] = set()
        for start in range(0, len(uris), _MANY):
            portion = uris[start : start + _MANY]
            with _disk_errors(self._directory):
                sql = f"SELECT uri FROM listed WHERE uri IN ({', '.join('?' * len(portion))})"
                found.update(uri for (uri,) in self._db.execute(sql, portion))
        return [uri for uri in uris if uri not in found]

    def __contains__(self, uri: object) -> bool:
        with _disk_errors(self._directory):
            return self._db.execute("SELECT 1 FROM listed WHERE uri = ?", (uri,)).fetchone() is not None

    def __len__(self) -> int:
        with _disk_errors(self._directory):
            return int(self._db.execute("SELECT count(*) FROM listed").fetchone()[0])


def missing_from(offered: Collection[str], uris: Sequence[str]) -> list[str]:
    """Give those of some URIs that are not offered; a Listing is asked for many at a time."""
    return offered.missing(uris) if isinstance(offered, Listing) else [uri for uri in uris if uri not in offered]


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise DiskError(
            f"can't keep a list of the server in a file in {directory}: {error}",
            hint="free some space, or check the disk",
        ) from error
