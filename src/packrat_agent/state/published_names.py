"""Remembers which package file was published under which name, for ever.

A name is never given to other bytes, so no row is changed or deleted, not even if its repository leaves the mirror.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from packrat_agent.state.database import Database
from packrat_agent.state.rows_among import read_among

_PAGE = 5000
_ADD = "INSERT OR IGNORE INTO published_names (path, sha256) VALUES (?, ?)"


class PublishedNames:
    """The table of paths, relative to `root_dir`, each with the SHA-256 of the package file published there."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, repo_directory: str, paths: Collection[str] | None = None) -> dict[str, str]:
        """Map path → SHA-256 for all names in the directory of a repository, or for some of them."""
        low, high = repo_directory + "/", repo_directory + "0"
        sql = "SELECT path, sha256 FROM published_names WHERE path > ? AND path < ?"
        if not self._db.rows(f"{sql} LIMIT 1", (low, high)):
            return {}
        return dict(read_among(self._db, sql, (low, high), "path", paths))

    def below(self, repo_directory: str, paths: Collection[str] = ()) -> Mapping[str, str]:
        """Give the names in the directory of a repository as a mapping that reads them when it is asked.

        Those of `paths` are read at once.
        """
        return _NamesBelow(self, repo_directory, frozenset(paths))

    def is_empty(self) -> bool:
        """Tell whether no package file was ever published."""
        return not self._db.rows("SELECT 1 FROM published_names LIMIT 1")

    def count(self) -> int:
        """Count the names of all repositories, former ones too."""
        return int(self._db.rows("SELECT count(*) FROM published_names")[0][0])

    def in_order(self) -> Iterator[tuple[str, str]]:
        """Give each name of all repositories, former ones too, with its SHA-256, sorted; never holds them all."""
        after, sql = "", f"SELECT path, sha256 FROM published_names WHERE path > ? ORDER BY path LIMIT {_PAGE}"
        while rows := self._db.rows(sql, (after,)):
            yield from rows
            after = rows[-1][0]

    def add(self, names: Iterable[tuple[str, str]]) -> int:
        """Remember names with their SHA-256, and return how many of them are new; a known name keeps what it has.

        Raises:
            DiskError: The change can't be written; nothing of it is kept.
        """
        with self._db.transaction() as db:
            before = db.total_changes
            db.executemany(_ADD, names)
            return db.total_changes - before


class _NamesBelow(Mapping[str, str]):
    """The names in one directory; only some are read before it is asked."""

    def __init__(self, names: PublishedNames, repo_directory: str, paths: frozenset[str]) -> None:
        self._names = names
        self._directory = repo_directory
        self._paths = paths
        self._read = names.find(repo_directory, paths) if paths else {}

    def __getitem__(self, path: str) -> str:
        if path in self._paths:
            return self._read[path]
        return self._names.find(self._directory, (path,))[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.find(self._directory))

    def __len__(self) -> int:
        return len(self._names.find(self._directory))
