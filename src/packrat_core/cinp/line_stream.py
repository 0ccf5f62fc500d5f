"""An answer that stays open, and has one JSON value a line."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from packrat_core.cinp.failures import why_broken
from packrat_core.cinp.limits import LISTING, TooMuch, parse_json
from packrat_core.errors import ServerBroken, ServerUnavailable

MEDIA_TYPE = "application/jsonl"
_BEATS_LIMIT = 1000
"""Empty lines without a value in between; a server sends a few a minute."""


class Silent(ServerUnavailable):
    """For too long nothing came, not even an empty line."""


class LineStream:
    """The answer, while it is open."""

    def __init__(self, what: str, response: aiohttp.ClientResponse) -> None:
        """Prepare to read; what: names the request in messages."""
        self._what = what
        self._response = response
        self._opened = AsyncExitStack()
        self._data = bytearray()
        self._searched = 0
        self._has_ended = False
        self.is_stream = response.content_type == MEDIA_TYPE
        """Whether the server keeps the answer open; if not, its only line is the answer to the one request."""
        self.rested_at = time.time()
        """When all that had come was read last, in epoch seconds: what is read after that was sent after that."""

    def close_with(self, opened: AsyncExitStack) -> None:
        """Close something, too, when this is closed."""
        self._opened = opened

    async def begin(self) -> None:
        """Wait for the first byte."""
        await self._read_more()

    async def read(self) -> Any:
        """Give the next value; None at the end. A call that is cancelled loses nothing.

        Raises:
            Silent: Nothing came for too long.
            ServerUnavailable: The connection broke off.
            ServerBroken: A line is too long, or not JSON.
        """
        beats = 0
        while (line := await self._read_line()) is not None and not line:
            beats += 1
            if beats > _BEATS_LIMIT:
                raise ServerBroken(f"{self._what} answered with {beats} empty lines")
            # Lines that are here already must not keep other tasks waiting.
            await asyncio.sleep(0)
        if line is None:
            return None
        try:
            return parse_json(line, LISTING)
        except TooMuch as error:
            raise ServerBroken(f"{self._what} answered with {error} in a line") from None
        except (ValueError, RecursionError):
            raise ServerBroken(f"{self._what} answered with a line that is not JSON") from None

    async def close(self) -> None:
        """End the request."""
        await self._opened.aclose()

    async def _read_line(self) -> bytearray | None:
        while (end := self._data.find(b"\n", self._searched)) < 0:
            self._searched = len(self._data)
            if self._has_ended:
                line, self._data = self._data, bytearray()
                return line or None
            if len(self._data) > LISTING.size:
                raise ServerBroken(f"{self._what} answered with a line of more than {LISTING.size} bytes")
            # After two rounds of the loop, whatever has come to this machine can be read.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await self._read_more()
        line = self._data[:end]
        del self._data[: end + 1]
        self._searched = 0
        return line

    async def _read_more(self) -> None:
        try:
            part = self._response.content.read_nowait()
            if not part:
                if not self._data:
                    self.rested_at = time.time()
                part = await self._response.content.readany()
        except TimeoutError:
            raise Silent(f"{self._what} says nothing any more", hint="check whether the server is up") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnavailable(
                f"{self._what} broke off: {why_broken(error)}", hint="look at the log of the server"
            ) from None
        self._data += part
        self._has_ended = not part
