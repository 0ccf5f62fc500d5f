"""Reads records of package files, a portion at a time; a record that can't be used becomes a Rejection.

A listing names the files that a repository wants. Of these, `read_unread` reads the records that are not known yet.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from packrat_agent.model.records import PackageFile, Rejection
from packrat_agent.upstream.records import PACKAGE_FILE, Unusable, read_file, read_id, shown
from packrat_core.text import count_of

RECORDS_AT_ONCE = 300
"""Number of raw records fetched, and held in memory, at once: a batch, which other work waits for."""
_FEW = 100
"""Up to this number of records are one request; more are bulk work."""
_REJECTED_LIMIT = 1000
"""Number of rejected records that are listed; further ones are only counted."""


class GetRecords(Protocol):
    """Fetches raw records by their ids: URI → fields; `bulk`: other requests may go first."""

    def __call__(self, ids: Sequence[str], *, bulk: bool) -> Awaitable[Mapping[str, Mapping[str, Any]]]:
        """Fetch; records that the server doesn't have are left out."""


OnRead = Callable[[Sequence[PackageFile], int], Awaitable[None]]
"""(the usable records of a portion, how many records are still to be read)"""


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """The answer for some URIs: usable records, those that can't be used, and URIs that the server doesn't have."""

    files: tuple[PackageFile, ...]
    rejected: tuple[Rejection, ...]
    missing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unread:
    """URIs of records to read: how many, and in portions of at most `RECORDS_AT_ONCE`."""

    count: int
    portions: Iterable[Sequence[str]]


class Rejected:
    """Collects the records of an answer that can't be used."""

    def __init__(self) -> None:
        self._named: list[Rejection] = []
        self._more = 0

    def add(self, rejection: Rejection) -> None:
        """Add a record; beyond the limit it is only counted."""
        if len(self._named) < _REJECTED_LIMIT:
            self._named.append(rejection)
        else:
            self._more += 1

    def all(self) -> tuple[Rejection, ...]:
        """Return the listed records, and one more entry that counts the others."""
        if not self._more:
            return tuple(self._named)
        return (*self._named, Rejection("others", f"{count_of(self._more, 'more record')} can't be used either"))


async def read_records(get: GetRecords, uris: Sequence[str], *, bulk: bool) -> ReadRecords:
    """Read the records of package files by their URIs, which must be usable.

    Args:
        get: How to ask the server.
        uris: The URIs.
        bulk: Whether other requests may go first.

    Raises:
        PackratError: The server does not answer, or refuses the request.
    """
    records = await get([read_id(uri, PACKAGE_FILE) for uri in uris], bulk=bulk)
    files: list[PackageFile] = []
    rejected: list[Rejection] = []
    for uri in uris:
        if uri not in records:
            continue
        try:
            files.append(read_file(uri, records[uri]))
        except (Unusable, UnicodeDecodeError) as error:
            rejected.append(Rejection(uri, str(error)))
    return ReadRecords(tuple(files), tuple(rejected), frozenset(uri for uri in uris if uri not in records))


async def read_unread(
    get: GetRecords,
    unread: Unread,
    rejected: Rejected,
    on_read: OnRead,
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> None:
    """Read the records of files that a listing names and that are not known.

    Args:
        get: How to ask the server.
        unread: Their URIs, which must be usable.
        rejected: Takes the records that can't be used.
        on_read: Called with each portion, before the next one is read.
        turn: Makes a context that each portion is read in; other work comes between.

    Raises:
        PackratError: The server does not answer, or refuses the request.
    """
    left = unread.count
    for portion in unread.portions:
        # Files that are missing were removed after the list was made.
        async with turn():
            read = await read_records(get, portion, bulk=unread.count > _FEW)
        for rejection in read.rejected:
            rejected.add(rejection)
        left -= len(portion)
        await on_read(read.files, left)


def reject_uri(uri: str) -> Rejection | None:
    """Say why a URI of a listing can't be that of a package file; None if it can."""
    try:
        read_id(uri, PACKAGE_FILE)
    except Unusable as error:
        return Rejection(shown(uri), str(error))
    return None
