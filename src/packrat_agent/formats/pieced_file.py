"""Keeps the files of an index in pieces on disk, and hashes each from the first piece on that changed.

A file is made of its head, its pieces and its tail:

    file.splice(slice(3, 5), extents, records)  # others in the place of the pieces 3 and 4
    read_contents([(file, Frame(head, tail)), (other, Frame())])  # hashed side by side
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from packrat_agent.model.tree import Content
from packrat_agent.state.scratch import Extent, Region

_READ_BYTES = 256 * 1024
"""Pieces are read together up to this size, so that they are hashed while they are in the processor's cache."""
_WRITE_BYTES = 512 * 1024
"""Pieces are given together up to this size: the larger the pages that a file is written in, the less work they are.
But what is read at once must fit into the processor's cache, or that takes longer than larger pages save."""
_HEADS = 2
"""Number of heads for which the hash is kept: yum's count the packages, and return when a package comes and goes."""
_THREADS = 2
_ALONE_BYTES = 16 * 1024 * 1024
"""A file of this size or less is hashed by one thread, in a few milliseconds."""


class Frame(NamedTuple):
    """The bytes before the first piece of a file, and those after the last one."""

    head: bytes = b""
    tail: bytes = b""


_NO_FRAME = Frame()


class PiecedFile:
    """The pieces of one file, in order; `records` says of each piece what the end of the file says of it."""

    def __init__(self, region: Region, stride: int = 4) -> None:
        """Make a file without pieces.

        Args:
            region: Where they are kept.
            stride: Number of pieces after which the state of the hash is kept each time.
        """
        self._region = region
        self._stride = stride
        self._size = 0
        self._extents: list[Extent] = []
        self._records: list[bytes] = []
        # Head → states of the hash; the first covers the head, each further one `stride` pieces more. The head that was
        # used last is the last one.
        self._states: dict[bytes, list[hashlib._Hash]] = {}

    @property
    def extents(self) -> Sequence[Extent]:
        """Where the pieces stand."""
        return self._extents

    @property
    def records(self) -> Sequence[bytes]:
        """What the end of the file says of the pieces; those without bytes are left out."""
        return [record for record, extent in zip(self._records, self._extents, strict=True) if extent.size]

    def splice(self, where: slice, extents: Sequence[Extent], records: Sequence[bytes]) -> None:
        """Put pieces in the place of others, whose space becomes free.

        Args:
            where: Those that go.
            extents: Where the new pieces stand.
            records: What the end of the file says of each.
        """
        self._region.free(self._extents[where])
        self._size += _size_of(extents) - _size_of(self._extents[where])
        self._extents[where] = extents
        self._records[where] = records
        for states in self._states.values():
            del states[where.start // self._stride + 1 :]

    def content(self, frame: Frame = _NO_FRAME) -> Content:
        """Give the file as it stands now; it may be read until the pieces change."""
        size = len(frame.head) + self._size + len(frame.tail)
        return Content.known(_Parts(self._region, tuple(self._extents), frame), size, self._digest(frame))

    def unhashed_bytes(self, head: bytes) -> int:
        """Tell how many bytes of the pieces `content` has to hash."""
        states = self._states.get(head)
        return _size_of(self._extents[self._hashed(states) :]) if states else self._size

    def _digest(self, frame: Frame) -> str:
        states = self._states.pop(frame.head, None) or [hashlib.sha256(frame.head)]
        self._states[frame.head] = states
        if len(self._states) > _HEADS:
            del self._states[next(iter(self._states))]
        state = states[-1].copy()
        for start in range(self._hashed(states), len(self._extents), self._stride):
            pieces = self._extents[start : start + self._stride]
            for portion in _portions(pieces, _READ_BYTES):
                state.update(self._region.read(portion))
            if len(pieces) == self._stride:
                states.append(state.copy())
        state.update(frame.tail)
        return state.hexdigest()

    def _hashed(self, states: Sequence[object]) -> int:
        """Give the number of pieces that the last state of the hash covers."""
        return (len(states) - 1) * self._stride


def _size_of(extents: Iterable[Extent]) -> int:
    return sum([size for _, size in extents])


def _portions(extents: Iterable[Extent], limit: int) -> Iterator[list[Extent]]:
    """Group extents up to a size in bytes; a larger one stands alone."""
    portion: list[Extent] = []
    waiting = 0
    for extent in extents:
        if portion and waiting + extent[1] > limit:
            yield portion
            portion, waiting = [], 0
        portion.append(extent)
        waiting += extent[1]
    if portion:
        yield portion


def read_contents(files: Sequence[tuple[PiecedFile, Frame]]) -> list[Content]:
    """Give several files as they stand now, hashed side by side; they may be read until the pieces change.

    files: Each with what stands around its pieces; none stands there twice.
    """
    if sum(file.unhashed_bytes(frame.head) for file, frame in files) < _ALONE_BYTES:
        return [file.content(frame) for file, frame in files]
    # Threads help here, because hashlib and reading release the GIL.
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(lambda job: job[0].content(job[1]), files))


@dataclass(frozen=True, slots=True)
class _Parts:
    region: Region
    extents: tuple[Extent, ...]
    frame: Frame

    def __iter__(self) -> Iterator[bytes | bytearray]:
        yield self.frame.head
        for portion in _portions(self.extents, _WRITE_BYTES):
            yield self.region.read(portion)
        yield self.frame.tail
