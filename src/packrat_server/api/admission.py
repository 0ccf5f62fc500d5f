"""Bounds what callers may have at work at the same time, so that none of them takes the place of others.

1. Strangers, who have no session: STRANGERS_PER_ADDRESS requests of an address, STRANGERS of all. The body of each is
   at most STRANGER_BYTES long (body_limits.py), so this bounds their memory, too.
2. A user or mirror: CALLER_LIMIT requests, polls among them.
3. Large bodies: one of a caller and LARGE_BODIES of all are in memory at the same time, and WORKERS of these are parsed
   and answered. The others wait; the network holds what their clients send.
4. Polls: after a change, LOOKERS look at a time for what changed for them.
5. Tokens that a thread looks up: IDENTIFIED_AT_ONCE at a time. STRANGERS_PER_ADDRESS of an address wait for that, so
   that a caller with made-up tokens can't occupy all threads. Monitoring doesn't wait: a thread looks for all of it.
6. Bundles of files: BUNDLERS threads look for or read files at a time.
7. Changes: WRITERS threads are at it, of which the database lets one at a time write. The others wait without a thread,
   for WRITER_WAIT_S at most: while somebody else holds the database, those who only read are answered.
8. Uploads that are read: INSPECTORS threads at a time, since a large one takes minutes. The others wait without a
   thread, for INSPECTOR_WAIT_S at most.

What is beyond 1, 2 and 5 is answered with 429 before its body is read, what waits too long for 7 and 8 with 503.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from packrat_core.errors import ServerUnavailable
from packrat_server.accounts.sessions import Caller
from packrat_server.api.messages import CinpError

STRANGERS_PER_ADDRESS = 256
STRANGERS = 1024
CALLER_LIMIT = 128
LARGE_BODIES = 4
WORKERS = 1
LOOKERS = 4
IDENTIFIED_AT_ONCE = 8
BUNDLERS = 4
WRITERS = 4
WRITER_WAIT_S = 30.0
INSPECTORS = 4
INSPECTOR_WAIT_S = 300.0
RETRY_AFTER_S = 1


class Admission:
    """What is at work in one server process; call its methods from one event loop only."""

    def __init__(self) -> None:
        self._at_work: Counter[tuple[str, str]] = Counter()
        self._strangers = 0
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)
        self._workers = asyncio.Semaphore(WORKERS)
        self._lookers = asyncio.Semaphore(LOOKERS)
        self._bundlers = asyncio.Semaphore(BUNDLERS)
        self._writers = asyncio.Semaphore(WRITERS)
        self._inspectors = asyncio.Semaphore(INSPECTORS)
        self._identifying = asyncio.Semaphore(IDENTIFIED_AT_ONCE)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextmanager
    def at_work(self, caller: Caller, address: str) -> Iterator[None]:
        """Count a request while it is answered.

        Args:
            caller: Who calls.
            address: Where the request comes from.

        Raises:
            CinpError: 429, if the caller or the address has too many requests at work.
        """
        is_stranger = caller.is_stranger
        key = ("address", address) if is_stranger else ("caller", caller.name)
        with self._count(key, is_stranger=is_stranger):
            yield

    @contextmanager
    def monitoring(self, address: str) -> Iterator[None]:
        """Count a question about the server's health while it is answered.

        Raises:
            CinpError: 429, if too many from this address are answered.
        """
        with self._count(("address", address), is_stranger=True):
            yield

    @asynccontextmanager
    async def identifying(self, address: str) -> AsyncIterator[None]:
        """Wait until a thread may look up a token; until it is known whose it is, the caller is a stranger.

        Raises:
            CinpError: 429, if too many from this address wait.
        """
        with self._count(("address", address), is_stranger=True):
            async with self._identifying:
                yield

    @contextmanager
    def _count(self, key: tuple[str, str], *, is_stranger: bool) -> Iterator[None]:
        limit = STRANGERS_PER_ADDRESS if is_stranger else CALLER_LIMIT
        if self._at_work[key] >= limit or (is_stranger and self._strangers >= STRANGERS):
            raise CinpError(
                429, f"too many requests at once; try again in {RETRY_AFTER_S} s", {"Retry-After": str(RETRY_AFTER_S)}
            )
        self._at_work[key] += 1
        self._strangers += is_stranger
        try:
            yield
        finally:
            self._strangers -= is_stranger
            self._at_work[key] -= 1
            if not self._at_work[key]:
                del self._at_work[key]

    @asynccontextmanager
    async def large_body(self, caller: Caller) -> AsyncIterator[None]:
        """Wait until a large body of a caller may be received; it counts until its request is answered."""
        # The table forgets a lock that nobody holds or waits for any more.
        lock = self._locks.setdefault(caller.name, asyncio.Lock())
        async with lock, self._large_bodies:
            yield

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Wait until a large body may be parsed and answered."""
        async with self._workers:
            yield

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Wait until a poll may look for changes."""
        async with self._lookers:
            yield

    @asynccontextmanager
    async def bundling(self) -> AsyncIterator[None]:
        """Wait until a thread may look for, or read, files of a bundle."""
        async with self._bundlers:
            yield

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Wait until a thread may change something in the database.

        Raises:
            ServerUnavailable: The changes of others do not end.
        """
        hint = "see what else writes to the database, and end it"
        async with _turn(self._writers, WRITER_WAIT_S, "changes", hint):
            yield

    @asynccontextmanager
    async def inspecting(self) -> AsyncIterator[None]:
        """Wait until a thread may read an upload.

        Raises:
            ServerUnavailable: The reading of others does not end.
        """
        hint = "if these are not huge, see whether the disk of the data directory hangs"
        async with _turn(self._inspectors, INSPECTOR_WAIT_S, "uploads", hint):
            yield


@asynccontextmanager
async def _turn(places: asyncio.Semaphore, wait_s: float, what: str, hint: str) -> AsyncIterator[None]:
    """Hold one of some places, after a wait of bounded length.

    Args:
        places: The places.
        wait_s: How long to wait for one.
        what: What waits, for the message.
        hint: What the operator can do.

    Raises:
        ServerUnavailable: None became free.
    """
    try:
        async with asyncio.timeout(wait_s):
            await places.acquire()
    except TimeoutError:
        raise ServerUnavailable(f"{what} have waited for others for {wait_s:.0f} s", RETRY_AFTER_S, hint=hint) from None
    try:
        yield
    finally:
        places.release()
