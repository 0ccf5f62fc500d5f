"""A file that the server sends, chunk by chunk."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from packrat_core.cinp.failures import why_broken
from packrat_core.cinp.rate_limit import RateLimit
from packrat_core.errors import ServerUnavailable, TooLarge

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """An open download.

    Attributes:
        start: The offset in the file of the first byte that comes.
        what: Names the download in messages.
        response: None where nothing is left to read from `start` on.
        rate: The limit that all downloads share.
        validator: The server's ETag for this state of the file, None where it gives none.
        stall_s: Within these seconds, a part of the file has to come, and more than a trickle.
        max_bytes: The largest size of the whole file; None for any.
    """

    start: int
    what: str
    response: aiohttp.ClientResponse | None
    rate: RateLimit
    validator: str | None = None
    stall_s: float = 60.0
    max_bytes: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the chunks as they arrive.

        Raises:
            ServerUnavailable: The bytes stop coming, or hardly come.
            TooLarge: There are more than `max_bytes`.
        """
        if self.response is None:
            return
        size = min(CHUNK_BYTES, self.rate.chunk_bytes or CHUNK_BYTES)
        at = self.start
        since, at_since = time.monotonic(), at
        content = self.response.content
        try:
            # Bytes that are not part of the file, such as chunk extensions, may come for ever.
            while True:
                async with asyncio.timeout(self.stall_s):
                    chunk = await content.read(size)
                if not chunk:
                    return
                at += len(chunk)
                if self.max_bytes is not None and at > self.max_bytes:
                    raise TooLarge(
                        f"{self.what} has more than {self.max_bytes} bytes",
                        hint="raise max_file_size if a file may be that large",
                    )
                await self.rate.take(len(chunk))
                yield chunk
                # Most files are small and arrive whole.
                if content.at_eof():
                    return
                passed_s = time.monotonic() - since
                if passed_s >= self.stall_s:
                    if at - at_since < self.rate.slowest_bytes_per_s * passed_s:
                        raise TimeoutError
                    since, at_since = time.monotonic(), at
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailable(
                f"{self.what} broke off: {why_broken(error)}", hint="it goes on from there next time"
            ) from None
