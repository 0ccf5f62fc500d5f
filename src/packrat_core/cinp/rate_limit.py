"""Limits how many bytes a second all downloads together take."""

import asyncio

_BURST_S = 0.25
_SLOWEST_BYTES_PER_S = 500.0


class RateLimit:
    """A number of bytes a second that all downloads share; None for no limit."""

    def __init__(self, bytes_per_s: int | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._paid_until = 0.0

    @property
    def chunk_bytes(self) -> int | None:
        """The largest chunk to read at a time, so that no chunk waits long; None for any."""
        return None if self._bytes_per_s is None else max(1, int(self._bytes_per_s * _BURST_S))

    @property
    def slowest_bytes_per_s(self) -> float:
        """A download that is slower than this has stalled: the limit, however many share it, does not explain it."""
        return _SLOWEST_BYTES_PER_S if self._bytes_per_s is None else min(_SLOWEST_BYTES_PER_S, self._bytes_per_s / 100)

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may have been taken."""
        if self._bytes_per_s is None:
            return
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now - _BURST_S) + size / self._bytes_per_s
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)
