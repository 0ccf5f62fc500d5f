"""Asks for many small package files in one request, where the server offers that."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from packrat_agent.upstream.bundle_reader import BundleReader
from packrat_agent.upstream.records import PACKAGE_FILE
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.download import Download

T = TypeVar("T")

_BUNDLE = f"{PACKAGE_FILE}(bundle)"


class Asking(Protocol):
    """Sends a request; if the session has ended, logs in again, once, and repeats it."""

    def __call__(self, ask: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Send it."""


class ReceivedBundle:
    """The answer, while it is open."""

    def __init__(self, download: Download, asked: Sequence[str], max_file_bytes: int | None) -> None:
        """Begin to read.

        Args:
            download: The bytes.
            asked: The URIs that were asked for, each once.
            max_file_bytes: The largest size that a file may have; None for any.
        """
        self._download = download
        self._reader = BundleReader(download.what, asked)
        self._max_file_bytes = max_file_bytes

    @property
    def looked_at(self) -> int:
        """How many of the requested files it covers; the others may be requested again."""
        return self._reader.looked_at

    async def files(self) -> AsyncIterator[tuple[str, bytes]]:
        """Give the files as they come: URI and content, which nobody has compared with a hash yet.

        Raises:
            ServerUnavailable: The answer breaks off.
            ServerBroken: It is not a bundle of what was asked for.
        """
        async for chunk in self._download.chunks():
            for uri, content in self._reader.feed(chunk):
                # What is too large is left to a download of its own, which says so.
                if self._max_file_bytes is None or len(content) <= self._max_file_bytes:
                    yield uri, content
        self._reader.end()


class Bundles:
    """The bundles of one server, which offers none until `offer` says so."""

    def __init__(self, client: CinpClient, asking: Asking) -> None:
        self._client = client
        self._asking = asking
        self._is_offered = False

    def offer(self, actions: object) -> None:
        """Learn from the described actions of package files whether the server offers bundles."""
        self._is_offered = isinstance(actions, list) and _BUNDLE in actions

    def opener(self, *, bulk: bool) -> Callable[[Sequence[str]], AbstractAsyncContextManager[ReceivedBundle]] | None:
        """Return a function that opens a bundle; None if the server has none, or too few files are wanted (`bulk`)."""
        return self._open if bulk and self._is_offered else None

    @asynccontextmanager
    async def _open(self, uris: Sequence[str]) -> AsyncIterator[ReceivedBundle]:
        async with AsyncExitStack() as stack:

            def ask() -> Awaitable[Download]:
                opening = self._client.open_bytes_in_turn(_BUNDLE, {"files": list(uris)})
                return stack.enter_async_context(opening)

            yield ReceivedBundle(await self._asking(ask), uris, self._client.max_file_bytes)
