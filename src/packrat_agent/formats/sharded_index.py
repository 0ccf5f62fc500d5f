"""Keeps the text of one index in order and cut into shards, so that a change writes only the shards that it touches.

    records = NewestRecords(write)  # write(entry) gives its text in each file of the index
    index = ShardedIndex(boundary)
    index.replace(*records.replace(gone, new))  # costs what changed
    index.shards(0)  # those of the first file, in the order of the index

1. Packages stand in the order of name, version and architecture, as text: the order has to be the same in each render,
   and no client asks for another.
2. A shard begins at a package whose hash says so, or where the shard before it is full. An insertion leaves the shards
   behind the next such package as they are, and the same entries give the same shards, in whatever order they came.
3. Of several records of the same package, that of the newest record stands in the index. The log names it where their
   files differ.
"""

import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import structlog

from packrat_agent.formats.compress import Shard
from packrat_agent.model.entries import Entry

log = structlog.get_logger()

_SHARD_ENTRIES = 64
"""Average number of entries in a shard, if there were no limit."""
_FEW = 0.05
"""The part of an index up to which its shards are cut one by one; beyond that, all are cut anew."""

Key = tuple[str, str, str]
"""Name, version and architecture of a package, as they are inside the file."""
Texts = tuple[bytes, ...]
"""What each file of an index says of one package."""


class _Record(NamedTuple):
    order: tuple[int, str]
    sha256: str
    file_name: str
    texts: Texts


class NewestRecords:
    """The text of all entries of an index by package; the one of the newest record counts."""

    def __init__(self, write: Callable[[Entry], Texts]) -> None:
        self._write = write
        self._records: dict[Key, tuple[_Record, ...]] = {}
        self._packages_of: Counter[str] = Counter()

    def architectures(self) -> frozenset[str]:
        """The architectures of all packages."""
        return frozenset(arch for arch, count in self._packages_of.items() if count)

    def texts(self) -> Iterator[tuple[Key, Texts]]:
        """List all packages with the text that counts."""
        return ((key, records[-1].texts) for key, records in self._records.items())

    def replace(self, gone: Iterable[Entry], new: Iterable[Entry]) -> tuple[set[Key], dict[Key, Texts]]:
        """Take entries out, and put others in.

        Args:
            gone: Entries that were put in before.
            new: Entries that are not in it.

        Returns:
            The packages that are in it no more, and those whose text is another one now.
        """
        before: dict[Key, tuple[_Record, ...]] = {}
        for entry in gone:
            key = _key(entry)
            known = self._records.pop(key)
            before.setdefault(key, known)
            if rest := tuple(record for record in known if record.order != entry.file.record_order):
                self._records[key] = rest
        for entry in new:
            key = _key(entry)
            known = self._records.get(key, ())
            before.setdefault(key, known)
            record = _Record(entry.file.record_order, entry.file.sha256, entry.file.file_name, self._write(entry))
            self._records[key] = tuple(sorted((*known, record)))
        lost, changed = set(), {}
        for key, known in before.items():
            now = self._records.get(key, ())
            self._packages_of[key[2]] += bool(now) - bool(known)
            _tell_duplicate(key, now)
            if not now:
                lost.add(key)
            elif not known or known[-1].texts != now[-1].texts:
                changed[key] = now[-1].texts
        return lost, changed


class ShardedIndex:
    """The text of each package of an index, in order, and the shards that it is cut into."""

    def __init__(self, boundary: Callable[[Key], str], files: int = 1, limit: int | None = None) -> None:
        """Make an empty index.

        Args:
            boundary: The text whose hash says whether a shard begins at a package.
            files: How many files the index has: the length of all texts.
            limit: The largest number of packages in a shard; None for no limit.
        """
        self._boundary = boundary
        self._limit = limit
        self._keys: list[Key] = []
        self._texts: dict[Key, Texts] = {}
        # The first key of each shard, and the shards of each file; side by side, to be searched and spliced quickly.
        self._starts: list[Key] = []
        self._shards: list[list[Shard]] = [[] for _ in range(files)]

    def __len__(self) -> int:
        return len(self._keys)

    def shards(self, file: int) -> Sequence[Shard]:
        """All shards of one file of the index, in order."""
        return self._shards[file]

    def replace(self, gone: Collection[Key], new: Mapping[Key, Texts]) -> None:
        """Take packages out, put others in, and write the shards anew that this touches."""
        touched = {*gone, *new}
        for key in gone:
            del self._texts[key]
        self._texts.update(new)
        if len(touched) > len(self._keys) * _FEW:
            self._keys = sorted(self._texts)
            self._cut(slice(0, len(self._starts)), 0, len(self._keys))
            return
        for key in touched:
            at = bisect_left(self._keys, key)
            here = self._keys[at : at + 1] == [key]
            if here and key not in new:
                del self._keys[at]
            elif not here and key in new:
                self._keys.insert(at, key)
        for start, end in sorted({self._around(key) for key in touched}):
            # Position 0 stands for all keys before it, too: the first package of the index may have gone.
            first = bisect_left(self._starts, self._keys[start]) if start else 0
            last = bisect_left(self._starts, self._keys[end]) if end < len(self._keys) else len(self._starts)
            self._cut(slice(first, last), start, end)

    def _around(self, key: Key) -> tuple[int, int]:
        """Give the positions from the last hash boundary before `key` up to the first one behind it."""
        # A boundary that went with its package has joined two runs, so the one before is looked at, too.
        start = max(bisect_left(self._keys, key) - 1, 0)
        end = bisect_right(self._keys, key)
        while start > 0 and not self._is_boundary(self._keys[start]):
            start -= 1
        while end < len(self._keys) and not self._is_boundary(self._keys[end]):
            end += 1
        return start, end

    def _cut(self, old: slice, start: int, end: int) -> None:
        """Put shards of the packages from position `start` to `end` in the place of the `old` ones."""
        runs = list(self._runs(start, end))
        self._starts[old] = [run[0] for run in runs]
        for number, shards in enumerate(self._shards):
            shards[old] = [Shard.of(self._texts[key][number] for key in run) for run in runs]

    def _runs(self, start: int, end: int) -> Iterator[list[Key]]:
        run: list[Key] = []
        for at in range(start, end):
            key = self._keys[at]
            if run and (len(run) == self._limit or self._is_boundary(key)):
                yield run
                run = []
            run.append(key)
        if run:
            yield run

    def _is_boundary(self, key: Key) -> bool:
        return zlib.crc32(self._boundary(key).encode()) % _SHARD_ENTRIES == 0


def _key(entry: Entry) -> Key:
    fragment = entry.fragment
    return fragment.name, fragment.version, fragment.arch


def _tell_duplicate(key: Key, records: Sequence[_Record]) -> None:
    if len({record.sha256 for record in records}) > 1:
        log.warning("duplicate", package=key[0], version=key[1], arch=key[2], kept=records[-1].file_name)
