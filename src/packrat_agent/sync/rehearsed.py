"""Remembers what the rehearsal of a takeover read, so that the takeover need not read it again.

1. A fragment stands under the SHA-256 of the bytes that it was read from, which were hashed at that moment.
2. It counts only as long as the file at its path is the one that was read, and nobody has written to it since: its
   inode and its ctime, which no program can set, are the same.
3. What is beyond the limit on memory, or differs for a signing key, is read again.

    rehearsed.note(source, sha256, path, descriptor, fragment)
    rehearsed.recall(root, source, {sha256})   # {sha256: fragment}
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.model.entries import Fragment
from packrat_agent.state.fragments import FragmentSource

_LIMIT_BYTES = 32 * 1024 * 1024
"""Bytes of the bodies that are held; that of a deb has about one kilobyte."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A fragment, and the file that it was read from."""

    path: str
    inode: int
    ctime_ns: int
    fragment: Fragment


@dataclass(slots=True)
class Rehearsed:
    """What a rehearsal read."""

    _readings: dict[tuple[FragmentSource, str], _Reading] = field(default_factory=dict)
    _bytes: int = 0

    def note(self, source: FragmentSource, sha256: str, path: str, status: os.stat_result, fragment: Fragment) -> None:
        """Remember a fragment.

        Args:
            source: What it was made by.
            sha256: That of the bytes that were read.
            path: Where the file stands, relative to root_dir.
            status: That of the open file, from before it was hashed.
            fragment: What was read.
        """
        # What a key signs, or what is made beside the file, has to be made in the takeover itself.
        if source.signer or fragment.products or self._bytes + len(fragment.body) > _LIMIT_BYTES:
            return
        self._bytes += len(fragment.body)
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


def _is_untouched(path: str, reading: _Reading) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (status.st_ino, status.st_ctime_ns) == (reading.inode, reading.ctime_ns)
