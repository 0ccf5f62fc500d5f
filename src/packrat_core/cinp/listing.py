"""Lists URIs without holding the list in memory: the caller takes them as they come.

1. The order is not stable from page to page, so one page of all is asked for, again while the total grows.
2. A list has an end: in time, in bytes, in the number of its entries, and in the number of pages that are asked for.

    await list_uris(session, UriQuery(model, "repo", {"repo": uri, "package_list": None}), Sink(begin, take))
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from packrat_core.cinp.responses import Answer, as_count, read_texts
from packrat_core.cinp.session import CinpSession
from packrat_core.errors import ServerBroken

ENTRIES_LIMIT = 1_000_000

_FIRST_COUNT = 1000
_MORE_COUNT = 100
"""Room on a page for what is added between two pages."""
_PAGES_LIMIT = 20
_SHORT_PAGES_LIMIT = 3
"""Number of pages with fewer entries than the server says that it has, after which it is not asked again."""


@dataclass(frozen=True, slots=True)
class UriQuery:
    """A list to ask for: the model, a filter with its arguments (None for all objects), and how many there may be."""

    model: str
    filter_name: str | None
    arguments: Mapping[str, Any]
    limit: int = ENTRIES_LIMIT


@dataclass(frozen=True, slots=True)
class Sink:
    """Takes a list.

    begin: Called before each page: what was taken before it doesn't count. take: Called with some URIs at a time; one
    may come twice. expected: How many will come, probably, so that they are asked for at once.
    """

    begin: Callable[[], None]
    take: Callable[[Sequence[str]], Awaitable[None]]
    expected: int = 0


class Fingerprint:
    """Takes a list and keeps only a fingerprint of it, which is the same in whatever order the list comes."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0

    @property
    def value(self) -> tuple[int, int]:
        """The fingerprint of what was taken."""
        return self._count, self._sum

    def clear(self) -> None:
        """Forget what was taken."""
        self._count = self._sum = 0

    async def add(self, uris: Sequence[str]) -> None:
        """Take some URIs."""
        self._count += len(uris)
        for uri in uris:
            digest = hashlib.blake2b(uri.encode(), digest_size=16).digest()
            self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 128)


async def list_uris(session: CinpSession, query: UriQuery, sink: Sink) -> None:
    """LIST the URIs that a filter lets through, all of them.

    Args:
        session: The server to ask.
        query: What to list.
        sink: Takes the URIs.

    Raises:
        ServerUnavailable: Waiting may help.
        ServerRefused: The server refuses the request.
        ServerBroken: Counts or entries have the wrong shape, never agree, or are too many.
    """
    model, limit = query.model, query.limit

    async def read(response: aiohttp.ClientResponse, what: str) -> Answer:
        total = as_count(response.headers.get("Total"), model, limit)
        sink.begin()
        return Answer((await read_texts(response, what, limit, sink.take), total), {})

    count, short = max(_FIRST_COUNT, sink.expected + _MORE_COUNT), 0
    for _ in range(_PAGES_LIMIT):
        headers = {"Position": "0", "Count": str(count)}
        if query.filter_name:
            headers["Filter"] = query.filter_name
        given, total = (await session.ask("LIST", model, headers, query.arguments, read=read)).value
        if given >= total:
            return
        # Rows may go while they are counted; a server that gives too few again and again has no more to give.
        short += given < min(count, total)
        if short >= _SHORT_PAGES_LIMIT:
            break
        count = total + _MORE_COUNT
    raise ServerBroken(f"LIST {model} never gave as many entries as it says there are")
