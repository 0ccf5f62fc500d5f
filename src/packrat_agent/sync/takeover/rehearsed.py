"""Remembers what the rehearsal of a takeover read, so that the takeover need not read it again.

1. A fragment stands under the SHA-256 of the bytes that it was read from, which were hashed at that moment.
2. It counts only as long as the file at its path is the one that was read, and nobody has written to it since: its
   inode and its ctime, which no program can set, are the same.
3. What is beyond the limit on memory, or differs for a signing key, is read again. So is what has products, unless
   these are held, too: the takeover writes them then.
4. The server's records count only if the server is at the same position as before the rehearsal.

    rehearsed.note(source, sha256, path, status, fragment, products)
    rehearsed.recall(root, source, {sha256})   # {sha256: fragment}
    rehearsed.note_records(repo, records)
    rehearsed.keep_records(position)
    rehearsed.take_records(repo)               # {uri: record}
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile
from packrat_agent.state.fragments import FragmentSource

_ONE_BYTES = 256 * 1024
"""A fragment that takes more than this is read again: a few large ones would leave no room for all others."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A fragment, and the file that it was read from."""

    path: str
    inode: int
    ctime_ns: int
    fragment: Fragment


@dataclass(slots=True)
class Rehearsed:
    """The records and fragments that a rehearsal read.

    Attributes:
        position: that of the server before it began, None where it has none.
        products: SHA-256 → bytes, of what is published beside files that were read.
        is_full: whether something did not fit, so that it is of little use to read more.
        limit_bytes: of the bodies and products that are held; those of a deb or wheel have about one kilobyte.
        records_left: how many more records are held, of about one kilobyte each; the rehearsal itself holds all.
    """

    position: str | None = None
    products: dict[str, bytes] = field(default_factory=dict)
    is_full: bool = False
    limit_bytes: int = 32 * 1024 * 1024
    records_left: int = 100_000
    _readings: dict[tuple[FragmentSource, str], _Reading] = field(default_factory=dict)
    _bytes: int = 0
    _records: dict[str, dict[str, PackageFile]] = field(default_factory=dict)

    def note(
        self,
        source: FragmentSource,
        sha256: str,
        path: str,
        status: os.stat_result,
        fragment: Fragment,
        products: Mapping[str, bytes],
    ) -> None:
        """Remember a fragment.

        Args:
            source: What it was made by.
            sha256: That of the bytes that were read.
            path: Where the file stands, relative to root_dir.
            status: That of the open file, from before it was hashed.
            fragment: What was read.
            products: SHA-256 → bytes, of what is made of it, if that is held in memory.
        """
        # What a key signs, or what is large, has to be made in the takeover itself.
        needed = {product.sha256 for product in fragment.products if product.sha256}
        size = len(fragment.body) + sum(map(len, products.values()))
        if source.signer or needed - products.keys() or size > _ONE_BYTES:
            return
        if self._bytes + size > self.limit_bytes:
            self.is_full = True
            return
        self._bytes += size
        self.products.update(products)
        self._readings[source, sha256] = _Reading(path, status.st_ino, status.st_ctime_ns, fragment)

    def recall(self, root: Path, source: FragmentSource, lacking: Collection[str]) -> dict[str, Fragment]:
        """Give the fragments of files that nobody has touched since.

        Args:
            root: root_dir.
            source: What makes the fragments.
            lacking: The SHA-256s of the package files of which nothing is known yet.
        """
        found: dict[str, Fragment] = {}
        if not self._readings:
            return found
        above = f"{root}/"
        for sha256 in lacking:
            reading = self._readings.get((source, sha256))
            if reading is not None and _is_untouched(above + reading.path, reading):
                found[sha256] = reading.fragment
        return found

    def note_records(self, repo: str, records: Iterable[PackageFile]) -> None:
        """Remember records of a repository that the server gave."""
        # Without a position nobody could tell later whether they are still right.
        if self.position is None:
            return
        some = list(records)[: self.records_left]
        self.records_left -= len(some)
        self._records.setdefault(repo, {}).update((file.uri, file) for file in some)

    def keep_records(self, position: str | None) -> None:
        """Forget the records, unless the server's position is still the one from before the rehearsal."""
        if position != self.position:
            self._records.clear()

    def take_records(self, repo: str) -> Mapping[str, PackageFile]:
        """Give the records of a repository by their URIs, once: the caller must remember them."""
        return self._records.pop(repo, {})


def _is_untouched(path: str, reading: _Reading) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (status.st_ino, status.st_ctime_ns) == (reading.inode, reading.ctime_ns)
