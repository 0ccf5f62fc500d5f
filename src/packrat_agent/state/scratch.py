"""Keeps bytes that can be made again on disk, so that they need no memory.

    scratch = Scratch(directory)      # one file, without a name, for as long as it is used
    region = scratch.region()         # its space is given back when nothing refers to the region any more
    extent = region.add(data)
    region.read([extent])             # data
    region.free([extent])             # what is added later may take its place

Nobody else can open the file, and nothing of it is left after a crash.
"""

import errno
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from packrat_core.fs.disk_errors import as_disk_error

_BLOCK_BYTES = 1024 * 1024
"""Space that a region takes from the file at a time."""
_ROUND_BYTES = 512
"""Sizes are rounded up to a multiple, so that what was freed fits what comes later."""
_WRITE_BYTES = 1024 * 1024
"""Items are written together up to about this size."""
_CALL_EXTENTS = 256
"""Number of extents that one call of the operating system reads, which takes 1024 parts at most."""


class Extent(NamedTuple):
    """The place of some bytes in the file."""

    offset: int
    size: int


class Scratch:
    """A file without a name; any thread may use it."""

    def __init__(self, directory: Path | None = None) -> None:
        """Make an empty file.

        Args:
            directory: Where it takes its space; None: where the system keeps temporary files.

        Raises:
            DiskError: It can't be made.
        """
        self._directory = directory or Path(tempfile.gettempdir())
        with as_disk_error("use a scratch file in", self._directory):
            file = tempfile.TemporaryFile(buffering=0, prefix=".scratch-", dir=directory)  # noqa: SIM115 closed below
        self._descriptor = file.fileno()
        weakref.finalize(self, file.close)
        # A region is given back when it is collected, which may happen in the middle of a call of the same thread.
        self._lock = threading.RLock()
        self._end = 0
        self._free: list[int] = []

    def region(self) -> "Region":
        """Begin a region, with space of its own."""
        return Region(self)

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self._end

    def take_blocks(self, count: int) -> int:
        """Take blocks that lie one behind the other; gives where they begin."""
        with self._lock:
            if count == 1 and self._free:
                return self._free.pop()
            self._end += count * _BLOCK_BYTES
            return self._end - count * _BLOCK_BYTES

    def give_back(self, blocks: Iterable[int]) -> None:
        """Give blocks back."""
        with self._lock:
            self._free += blocks

    def write(self, offset: int, data: bytes) -> None:
        """Write at a place.

        Raises:
            DiskError: The disk is full, or fails.
        """
        view = memoryview(data)
        with as_disk_error("use a scratch file in", self._directory):
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def read(self, offset: int, parts: Sequence[memoryview | bytearray]) -> None:
        """Read from a place, and fill one part after the other.

        Raises:
            DiskError: The disk fails.
        """
        with as_disk_error("use a scratch file in", self._directory):
            if os.preadv(self._descriptor, parts, offset) != sum(map(len, parts)):
                raise OSError(errno.EIO, os.strerror(errno.EIO))


class Region:
    """A part of a scratch file; one thread at a time may change it."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._blocks: list[int] = []
        self._at = self._limit = 0
        self._freed: dict[int, list[int]] = {}
        weakref.finalize(self, scratch.give_back, self._blocks)

    def add(self, data: bytes) -> Extent:
        """Keep bytes.

        Raises:
            DiskError: The disk is full, or fails.
        """
        return self.add_all([data])[0]

    def add_all(self, items: Iterable[bytes]) -> list[Extent]:
        """Keep several items; small ones that come to lie one behind the other are written at once.

        Raises:
            DiskError: The disk is full, or fails.
        """
        extents: list[Extent] = []
        waiting: list[bytes] = []
        start = end = 0
        for data in items:
            size = len(data)
            if not size:
                extents.append(Extent(0, 0))
                continue
            offset = self._take(_rounded(size))
            # They are joined for that, and those of an index may be hundreds of megabytes.
            if offset != end or end - start >= _WRITE_BYTES:
                self._scratch.write(start, b"".join(waiting))
                waiting, start = [], offset
            waiting += (data, bytes(-size % _ROUND_BYTES))
            end = offset + _rounded(size)
            extents.append(Extent(offset, size))
        self._scratch.write(start, b"".join(waiting))
        return extents

    def read(self, extents: Iterable[Extent]) -> bytearray:
        """Give the bytes of some extents, one behind the other.

        Raises:
            DiskError: The disk fails.
        """
        found = [extent for extent in extents if extent[1]]
        data = bytearray(sum([size for _, size in found]))
        view, between, at = memoryview(data), bytearray(_ROUND_BYTES), 0
        for run in _runs(found):
            # What lies between two extents is read, too, since that takes one call in place of two.
            parts: list[memoryview | bytearray] = []
            for _, size in run:
                parts += (view[at : at + size], memoryview(between)[: -size % _ROUND_BYTES])
                at += size
            self._scratch.read(run[0][0], parts[:-1])
        return data

    def free(self, extents: Iterable[Extent]) -> None:
        """Give back the space of some extents to what is added later."""
        for extent in extents:
            if extent.size:
                self._freed.setdefault(_rounded(extent.size), []).append(extent.offset)

    def _take(self, size: int) -> int:
        if freed := self._freed.get(size):
            return freed.pop()
        if self._at + size > self._limit:
            count = -(-size // _BLOCK_BYTES)
            start = self._scratch.take_blocks(count)
            self._blocks += range(start, start + count * _BLOCK_BYTES, _BLOCK_BYTES)
            if start != self._limit:
                self._at = start
            self._limit = start + count * _BLOCK_BYTES
        self._at += size
        return self._at - size


def _runs(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Group extents that lie one behind the other, as many as one call reads."""
    run: list[Extent] = []
    end = 0
    # An index has thousands of extents, and each is read with every change: so properties and calls are left out.
    for extent in extents:
        offset, size = extent
        if run and (offset != end or len(run) == _CALL_EXTENTS):
            yield run
            run = []
        run.append(extent)
        end = offset - (-size // _ROUND_BYTES) * _ROUND_BYTES
    if run:
        yield run


def _rounded(size: int) -> int:
    return -(-size // _ROUND_BYTES) * _ROUND_BYTES
