"""Hashes the index of each repository, and again only what was published since."""

import hashlib
import threading
from collections.abc import Iterable

from packrat_agent.state.database import Database
from packrat_agent.state.rows_among import read_among

_MODULUS = 1 << 256


class IndexDigests:
    """The digests of the pointers on disk: the sum of the hashes of all, so that their order doesn't matter."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        # One at a time: of two, the one that has read first could be the last to keep what it has read.
        self._hashing = threading.Lock()
        # Repository → publication → the sum of the hashes of its pointers; and those to be hashed again.
        self._sums: dict[str, dict[str, int]] = {}
        self._doubted: dict[str, set[str]] = {}

    def doubt(self, repo: str, publications: Iterable[str]) -> None:
        """Have the pointers of some publications hashed again."""
        with self._lock:
            self._doubted.setdefault(repo, set()).update(publications)

    def drop(self, repo: str) -> None:
        """Forget a repository."""
        with self._lock:
            self._sums.pop(repo, None)
            self._doubted.pop(repo, None)

    def digest(self, repo: str) -> str:
        """Hash the paths and contents of a repository's pointers on disk: the same index has the same digest.

        Raises:
            DiskError: The state database can't be read.
        """
        with self._hashing:
            # The database's lock is taken while `doubt` waits for this one: never the other way round.
            with self._lock:
                sums, doubted = self._sums.pop(repo, None), self._doubted.pop(repo, set())
            now = self._read(repo, None if sums is None else doubted)
            if sums is not None:
                now = {name: total for name, total in sums.items() if name not in doubted} | now
            with self._lock:
                self._sums[repo] = now
        return hashlib.sha256((sum(now.values()) % _MODULUS).to_bytes(32)).hexdigest()

    def _read(self, repo: str, publications: set[str] | None) -> dict[str, int]:
        sums: dict[str, int] = {}
        for publication, path, sha256 in read_among(
            self._db,
            "SELECT publication, path, sha256 FROM live_files WHERE repo = ? AND publication > '' "
            "AND pointer_rank > 0 AND withdrawn_at IS NULL",
            (repo,),
            "publication",
            publications,
        ):
            hashed = int.from_bytes(hashlib.sha256(f"{sha256}  {path}\n".encode()).digest())
            sums[publication] = (sums.get(publication, 0) + hashed) % _MODULUS
        return sums
