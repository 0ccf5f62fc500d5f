"""Keeps the text of one index in order and cut into shards, so that a change writes only the shards that it touches.

    index = ShardedIndex(layout, write, scratch.region())
    index.change(gone, new, chunks)  # costs what changed
    index.files()[0].plain           # the first file of the index; `packed` has its compressed forms

1. Packages stand in the order of name, version and architecture, as text: the order has to be the same in each render,
   and no client asks for another.
2. A shard begins at a package whose hash says so if the one before it is not too small, or where that one is full. An
   insertion leaves the shards as they are from where one begins as before, and the same entries give the same shards,
   in whatever order they came.
3. If a package has several records, the newest one is in the index. The log names the package if their
   files differ.
4. The texts stand on disk, in a scratch file; memory holds where, and one key a shard.
"""

import heapq
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from packrat_agent.formats.compress import Coding, Piece
from packrat_agent.formats.index_hash import join_digests
from packrat_agent.formats.index_shards import Key, Record, ShardWriter, Texts, WrittenShard, read_shard
from packrat_agent.formats.interface import ChunkCache
from packrat_agent.formats.pieced_file import Frame, PiecedFile, read_contents
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content
from packrat_agent.state.scratch import Extent, Region

T = TypeVar("T")

_PACKED_STRIDE = 16
"""Number of compressed shards after which the hash is kept each time; they are smaller than their texts."""
_FEW = 0.05
"""The part of an index up to which its shards are cut one by one; beyond that, all are cut again."""


@dataclass(frozen=True, slots=True)
class IndexLayout:
    """The way in which an index is cut and compressed.

    boundary: the text whose hash says whether a shard begins at a package. codings: how each file is compressed.
    files: how many files the index has: the length of all texts. limit: the largest number of packages in a shard;
    None for no limit. least: the smallest number, except in the last one. every: one of this many packages, on
    average, has a hash that begins a shard.
    """

    boundary: Callable[[Key], str]
    codings: tuple[Coding, ...]
    files: int = 1
    limit: int | None = None
    least: int = 1
    every: int = 64

    def begins_shard(self, key: Key, count: int) -> bool:
        """Tell whether a shard begins at a package where the one before it has `count` packages so far."""
        if count == self.limit:
            return True
        return count >= self.least and zlib.crc32(self.boundary(key).encode()) % self.every == 0


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of an index: as it is, and compressed in each coding of the layout."""

    plain: Content
    packed: Mapping[Coding, Content]


class ShardedIndex:
    """The packages of an index, in order, and the shards that they are cut into."""

    def __init__(
        self,
        layout: IndexLayout,
        write: Callable[[Entry], Texts],
        region: Region,
        tells: Callable[[Key], bool] = lambda key: True,
    ) -> None:
        """Make an empty index.

        Args:
            layout: How it is cut and compressed.
            write: Gives the text of an entry in each file of the index.
            region: Where the texts are kept.
            tells: Whether the log names a package of which several files are wanted.
        """
        self._layout = layout
        self._write = write
        self._region = region
        self._tells = tells
        # For each shard, its first key, the number of its packages, and where its rows stand.
        self._starts: list[Key] = []
        self._counts: list[int] = []
        self._rows: list[Extent] = []
        self._plain = [PiecedFile(region) for _ in range(layout.files)]
        self._packed = [[PiecedFile(region, _PACKED_STRIDE) for _ in layout.codings] for _ in range(layout.files)]

    def __len__(self) -> int:
        return sum(self._counts)

    def files(self, *frames: Frame) -> list[IndexFile]:
        """Give all files of the index, which may be read until it changes.

        frames: What stands around the packages in each file, plain; none for nothing.
        """
        around, codings = frames or (Frame(),) * len(self._plain), self._layout.codings
        wanted = list(zip(self._plain, around, strict=True))
        for frame, forms in zip(around, self._packed, strict=True):
            wanted += [
                (pieces, _pack_frame(frame, coding, pieces)) for coding, pieces in zip(codings, forms, strict=True)
            ]
        contents = iter(read_contents(wanted))
        plain = [next(contents) for _ in self._plain]
        return [IndexFile(content, {coding: next(contents) for coding in codings}) for content in plain]

    def digest(self) -> str:
        """Hash the text of all files."""
        return join_digests(content.digest for content in read_contents([(file, Frame()) for file in self._plain]))

    def build(self, chunks: ChunkCache) -> "IndexBuilder":
        """Begin to rebuild the index from entries in the order of their packages."""
        return IndexBuilder(self._new_writer(chunks, self._tells), self._write, self._put)

    def records(self) -> Iterator[Record]:
        """List the records of all packages, in order."""
        for number in range(len(self._starts)):
            yield from self._read(number)

    def change(self, gone: Collection[Entry], new: Collection[Entry], chunks: ChunkCache) -> None:
        """Take entries out, put others in, and rewrite the shards that this touches.

        Args:
            gone: Entries that were put in before.
            new: Entries that are not in it.
            chunks: The cache of compressed shards.

        Raises:
            KeyError: The index has not what is to go.
        """
        leaving = sorted(Record.of(entry).identity for entry in gone)
        coming = sorted(Record.of(entry, self._write(entry)) for entry in new)
        touched = frozenset(key for key, _ in leaving).union(record.key for record in coming)
        if len(touched) > len(self) * _FEW:
            self._cut(slice(0, len(self._starts)), leaving, coming, chunks, touched)
            return
        for where in reversed(self._touched_shards(sorted(touched))):
            # The first shard takes what stands before it, the last one what stands behind it.
            low = self._starts[where.start] if where.start else None
            high = self._starts[where.stop] if where.stop < len(self._starts) else None
            here = leaving[_between(leaving, low, high, lambda identity: identity[0])]
            self._cut(where, here, coming[_between(coming, low, high, lambda record: record.key)], chunks, touched)

    def _touched_shards(self, keys: Iterable[Key]) -> list[slice]:
        """Give the shards that a change of these packages touches, as slices that don't overlap, in order."""
        found: list[slice] = []
        for key in keys:
            around = self._around(key)
            if found and around.start < found[-1].stop:
                around = slice(found[-1].start, max(around.stop, found[-1].stop))
                found.pop()
            found.append(around)
        return found

    def _around(self, key: Key) -> slice:
        """Give the shard of a package, with the one before it if the package is its first."""
        end = bisect_right(self._starts, key)
        start = max(end - 1, 0)
        # If its first package goes, it may be joined to the one before it.
        if start > 0 and self._starts[start] == key:
            start -= 1
        return slice(start, end)

    def _cut(
        self,
        where: slice,
        leaving: Sequence[tuple[Key, str]],
        coming: Sequence[Record],
        chunks: ChunkCache,
        touched: frozenset[Key],
    ) -> None:
        """Put new shards in the place of some, and of those behind them until one begins as before."""
        there = (record for number in range(where.start, where.stop) for record in self._read(number))
        missing = set(leaving)
        writer = self._new_writer(chunks, lambda key: key in touched and self._tells(key))
        for record in heapq.merge(there, coming):
            if record.identity in missing:
                missing.remove(record.identity)
            else:
                writer.add(record)
        if missing:
            raise KeyError(f"the index lacks {sorted(missing)[0]}")
        stop = where.stop
        while stop < len(self._starts) and not writer.begins(self._starts[stop]):
            for record in self._read(stop):
                writer.add(record)
            stop += 1
        self._put(slice(where.start, stop), writer.end())

    def _read(self, number: int) -> list[Record]:
        return read_shard(self._region, self._rows[number], [file.extents[number] for file in self._plain])

    def _new_writer(self, chunks: ChunkCache, tells: Callable[[Key], bool]) -> ShardWriter:
        layout = self._layout
        return ShardWriter(self._region, chunks, layout.codings, layout.begins_shard, tells)

    def _put(self, where: slice | None, shards: Sequence[WrittenShard]) -> None:
        where = slice(0, len(self._starts)) if where is None else where
        self._region.free(self._rows[where])
        self._starts[where] = [shard.start for shard in shards]
        self._counts[where] = [shard.count for shard in shards]
        self._rows[where] = [shard.rows for shard in shards]
        for file, pieces in enumerate(self._plain):
            pieces.splice(where, [shard.texts[file] for shard in shards], [b""] * len(shards))
            for coding, packed in enumerate(self._packed[file]):
                made = [shard.packed[file][coding] for shard in shards]
                packed.splice(where, [extent for extent, _ in made], [record for _, record in made])


def _pack_frame(frame: Frame, coding: Coding, pieces: PiecedFile) -> Frame:
    """Compress what stands around the packages of a file, and add what the coding wants around that.

    Args:
        frame: What stands around them, plain.
        coding: How it is compressed.
        pieces: The compressed packages.
    """

    def pack(text: bytes) -> list[Piece]:
        return [coding.piece(coding.pack(text))] if text else []

    first, last = pack(frame.head), pack(frame.tail)
    records = [*(piece.record for piece in first), *pieces.records, *(piece.record for piece in last)]
    head = b"".join((coding.head, *(piece.data for piece in first)))
    return Frame(head, b"".join((*(piece.data for piece in last), coding.tail(records))))


def _between(items: Sequence[T], low: Key | None, high: Key | None, key: Callable[[T], Key]) -> slice:
    """Find the items from one key up to another one; None is beyond all keys."""
    start = 0 if low is None else bisect_left(items, low, key=key)
    return slice(start, len(items) if high is None else bisect_left(items, high, key=key))


class IndexBuilder:
    """Makes an index from nothing."""

    def __init__(
        self,
        writer: ShardWriter,
        write: Callable[[Entry], Texts],
        put: Callable[[None, Sequence[WrittenShard]], None],
    ) -> None:
        self._writer = writer
        self._write = write
        self._put = put

    def add(self, entry: Entry) -> None:
        """Add an entry; its package must not stand before that of the last one."""
        self.add_record(Record.of(entry, self._write(entry)))

    def add_record(self, record: Record) -> None:
        """Add a record that has its texts."""
        self._writer.add(record)

    def end(self) -> None:
        """Put what was made in the place of what the index had."""
        self._put(None, self._writer.end())
