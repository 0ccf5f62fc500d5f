"""Decides whether the server is reached through the proxy, and how fast its files may come.

Takes: the host, the hosts that need no proxy; a number of bytes a second.
Gives: yes or no; waiting.
Touches: nothing.
"""

import asyncio
import ipaddress
from collections.abc import Collection

_BURST_S = 0.25
_SLOWEST_BYTES_PER_S = 500.0


def bypasses(host: str, no_proxy: Collection[str]) -> bool:
    """Tell whether a host is reached without the proxy.

    no_proxy: names, which stand for all hosts below them too, with or without a leading dot; addresses; networks
    (`10.0.0.0/8`), which match hosts given as an address only; `*` for every host.
    """
    host = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in no_proxy:
        if entry == "*":
            return True
        try:
            network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            name = entry.strip(".").lower()
            if address is None and (host == name or host.endswith(f".{name}")):
                return True
            continue
        if address is not None and address.version == network.version and address in network:
            return True
    return False


class RateLimit:
    """A number of bytes a second that all downloads share."""

    def __init__(self, bytes_per_s: int | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._paid_until = 0.0

    @property
    def chunk_bytes(self) -> int | None:
        """The largest chunk to take at a time, None for any: a chunk is never worth more than a second's wait."""
        return None if self._bytes_per_s is None else max(1, int(self._bytes_per_s * _BURST_S))

    @property
    def slowest_bytes_per_s(self) -> float:
        """A download that comes slower than this is not the limit's doing, however many share it."""
        return _SLOWEST_BYTES_PER_S if self._bytes_per_s is None else min(_SLOWEST_BYTES_PER_S, self._bytes_per_s / 100)

    async def take(self, size: int) -> None:
        """Wait until so many bytes may have come."""
        if self._bytes_per_s is None:
            return
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now - _BURST_S) + size / self._bytes_per_s
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)
