"""Looks up for a scan how each file was last seen, in portions, since a tree may be large."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from packrat_agent.model.entries import StoredFile
from packrat_agent.state.database import Database
from packrat_agent.state.rows_among import is_utf8

_COLUMNS = "path, sha256, size, mtime_ns, inode, ctime_ns, verified_at"
_PORTION = 500


class KnownFile(NamedTuple):
    """A file that the agent has put, or was about to put, below `root_dir`.

    `verified_at`: when it was published or last found right, in epoch seconds. `ctime_ns` is that of the file when a
    scan last found it right; 0: no scan did.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    verified_at: float

    @property
    def file(self) -> StoredFile:
        """The file without what a scan noted of it."""
        return StoredFile(*self[:5])


Row = tuple[str, str, int, int, int, int, float]
"""The columns of a KnownFile, for a scan that looks at most of them once."""


class ScannedFiles:
    """The files below `root_dir` as scans find them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def look_up(self, paths: Sequence[str]) -> dict[str, KnownFile]:
        """Map path → file for those of the paths that are the agent's."""
        return {path: KnownFile._make(row) for path, row in self.rows(paths).items()}

    def rows(self, paths: Sequence[str]) -> dict[str, Row]:
        """Map path → row for those of the paths that are the agent's; size, times and inode are fields 2 to 5."""
        found: dict[str, Row] = {}
        # Paths that were planted need not be UTF-8; SQLite can't hold such a text, so no row has it.
        texts = [path for path in paths if path.isascii() or is_utf8(path)]
        for start in range(0, len(texts), _PORTION):
            portion = texts[start : start + _PORTION]
            places = ", ".join("?" * len(portion))
            rows = self._db.rows(f"SELECT {_COLUMNS} FROM live_files WHERE path IN ({places})", portion)
            found.update([(row[0], row) for row in rows])
        return found

    def paths(self) -> Iterator[list[str]]:
        """Give the paths of all files in order, in portions; changes during the iteration may be missed."""
        last = ""
        sql = f"SELECT path FROM live_files WHERE path > ? ORDER BY path LIMIT {_PORTION}"
        while portion := [path for (path,) in self._db.rows(sql, (last,))]:
            yield portion
            last = portion[-1]

    def total_bytes(self) -> int:
        """Add up the sizes of all files of the agent."""
        return int(self._db.rows("SELECT coalesce(sum(size), 0) FROM live_files")[0][0])

    def note(self, found: Iterable[tuple[KnownFile, KnownFile]]) -> None:
        """Remember the inode, size and times of files that were found right.

        Args:
            found: Each file as it was looked up, and as it is on disk. What was published since is left as it is.
        """
        with self._db.transaction() as db:
            db.executemany(
                "UPDATE live_files SET mtime_ns = ?, inode = ?, ctime_ns = ?, verified_at = ? "
                "WHERE path = ? AND sha256 = ? AND mtime_ns = ? AND inode = ?",
                [
                    (
                        *(at.mtime_ns, at.inode, at.ctime_ns, at.verified_at),
                        *(was.path, was.sha256, was.mtime_ns, was.inode),
                    )
                    for was, at in found
                ],
            )
