"""Tells from which address a request comes, also behind a reverse proxy.

1. Behind a trusted proxy, the address is the one that the proxy has seen: the rightmost of X-Forwarded-For that is not
   a trusted proxy itself. What stands further left the client may have made up.
2. The header is ignored where it comes from any other address.
3. For limits the first 64 bits of an IPv6 address count: whoever has one address of such a network has all. For
   permissions and the log the whole address does.

Source: RFC 7239, RFC 4291.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from packrat_core.errors import ConfigError

_PREFIX_BITS = 64
_USUAL_LENGTH = 64
"""Characters of an address that is remembered; longer text comes from who wants the memory to be full."""
_REMEMBERED = 1024


@dataclass(slots=True)
class Peer:
    """The client at the other end of a connection.

    Attributes:
        host: Its address.
        is_known: Whether a request of this connection came with a good session, or a trusted proxy connects.
    """

    host: str
    is_known: bool = False


class TrustedProxies:
    """The reverse proxies whose X-Forwarded-For counts."""

    def __init__(self, text: str = "", option: str = "--trusted-proxies") -> None:
        """Read addresses and networks, separated by commas; option: where they stand on the command line.

        Raises:
            ConfigError: A part is neither.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        try:
            self._networks = [ip_network(part, strict=False) for part in parts]
        except ValueError as error:
            raise ConfigError(
                f"{option}: {error}", hint="write addresses or networks, such as 127.0.0.1,10.0.0.0/8"
            ) from None

    def has(self, host: str) -> bool:
        """Whether a host, an IP address as text, is a trusted proxy."""
        if not self._networks:
            return False
        address = _parse(host)
        return address is not None and any(address in network for network in self._networks)

    def find_client(self, host: str, forwarded: Sequence[str]) -> str:
        """Find the exact address that a request comes from.

        Args:
            host: The address at the other end of the connection.
            forwarded: The values of all headers X-Forwarded-For, in their order.

        Returns:
            The address.
        """
        hops = ",".join(forwarded).split(",")
        found = host
        while hops and self.has(found):
            hop = hops.pop().strip()
            if _parse(hop) is None:
                break
            found = hop
        address = _parse(found)
        return found if address is None else str(address)


def name_network(host: str) -> str:
    """Give the address as it is counted: an IPv4 address, or the network of an IPv6 address."""
    address = _parse(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), _PREFIX_BITS), strict=False))
    return host if address is None else str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, also `[::1]`, `[::1]:443`, `1.2.3.4:443` and `fe80::1%eth0`; None for anything else."""
    # A mirror that downloads sends thousands of requests from one address.
    return (_parse_once if len(text) <= _USUAL_LENGTH else _parse_text)(text)


def _parse_text(text: str) -> IPv4Address | IPv6Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


_parse_once = lru_cache(_REMEMBERED)(_parse_text)
