"""Keeps a file of an index in pieces on disk, and hashes it from the first piece on that changed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packrat_agent.model.tree import Content
from packrat_agent.state.scratch import Extent, Region

_STRIDE = 4
"""The hash is kept as it stands after each so many pieces."""


class PiecedFile:
    """The pieces of one file, in order; `records` says of each piece what the end of the file says of it."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._extents: list[Extent] = []
        self._records: list[bytes] = []
        self._head = b""
        # The first state covers the head, each further one _STRIDE pieces more.
        self._states = [hashlib.sha256()]

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
        self._extents[where] = extents
        self._records[where] = records
        del self._states[where.start // _STRIDE + 1 :]

    def content(self, head: bytes = b"", tail: bytes = b"") -> Content:
        """Give the file as it stands now; it may be read until the pieces change."""
        size = len(head) + sum(extent.size for extent in self._extents) + len(tail)
        return Content.known(_Parts(self._region, head, tuple(self._extents), tail), size, self._digest(head, tail))

    def _digest(self, head: bytes, tail: bytes) -> str:
        if head != self._head:
            self._head, self._states = head, [hashlib.sha256(head)]
        done = (len(self._states) - 1) * _STRIDE
        state = self._states[-1].copy()
        for number, piece in enumerate(self._region.read(self._extents[done:]), start=done + 1):
            state.update(piece)
            if number % _STRIDE == 0:
                self._states.append(state.copy())
        state.update(tail)
        return state.hexdigest()


@dataclass(frozen=True, slots=True)
class _Parts:
    region: Region
    head: bytes
    extents: tuple[Extent, ...]
    tail: bytes

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from map(bytes, self.region.read(self.extents))
        yield self.tail
