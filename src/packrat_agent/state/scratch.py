"""Keeps bytes that can be made again on disk, so that they need no memory.

    scratch = Scratch(directory)      # one file, without a name, for as long as it is used
    region = scratch.region()         # its space is given back when nothing refers to the region any more
    extent = region.add(data)
    b"".join(region.read([extent]))   # data
    region.free([extent])             # what is added later may take its place

Nobody else can open the file, and nothing of it is left after a crash.
"""

import errno
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from packrat_core.fs.disk_errors import as_disk_error

_BLOCK_BYTES = 1024 * 1024
"""Space that a region takes from the file at a time."""
_ROUND_BYTES = 512
"""Sizes are rounded up to a multiple, so that what was freed fits what comes later."""
_READ_BYTES = 128 * 1024
"""Extents that lie one behind the other are read together, up to this size."""


class Extent(NamedTuple):
    """Where bytes stand in the file."""

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
        """How far the file reaches, in bytes."""
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

    def read(self, offset: int, size: int) -> bytes:
        """Read from a place.

        Raises:
            DiskError: The disk fails.
        """
        with as_disk_error("use a scratch file in", self._directory):
            data = os.pread(self._descriptor, size, offset)
            if len(data) != size:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return data


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
        if not data:
            return Extent(0, 0)
        extent = Extent(self._take(_rounded(len(data))), len(data))
        self._scratch.write(extent.offset, data)
        return extent

    def read(self, extents: Iterable[Extent]) -> Iterator[memoryview]:
        """Give the bytes of some extents, in their order.

        Raises:
            DiskError: The disk fails.
        """
        for run in _runs(extents):
            start = run[0].offset
            data = memoryview(self._scratch.read(start, run[-1].offset + run[-1].size - start))
            for offset, size in run:
                yield data[offset - start : offset - start + size]

    def free(self, extents: Iterable[Extent]) -> None:
        """Let what is added later take the place of some extents."""
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
    """Group extents that lie one behind the other."""
    run: list[Extent] = []
    start = end = 0
    # An index has thousands of extents, and each is read with every change: so properties and calls are left out.
    for extent in extents:
        offset, size = extent
        if not run:
            start = offset
        elif offset != end or offset + size - start > _READ_BYTES:
            yield run
            run, start = [], offset
        run.append(extent)
        end = offset - (-size // _ROUND_BYTES) * _ROUND_BYTES
    if run:
        yield run


def _rounded(size: int) -> int:
    return -(-size // _ROUND_BYTES) * _ROUND_BYTES
