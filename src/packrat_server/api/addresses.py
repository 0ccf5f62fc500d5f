"""Tells from which address a request comes, also behind a reverse proxy.

1. Behind a trusted proxy, the address is the one that the proxy has seen: the rightmost of X-Forwarded-For that is not
   a trusted proxy itself. What stands further left the client may have made up.
2. The header is ignored where it comes from any other address.
3. For limits the network of an address counts (packrat_core/aio/addresses.py). For permissions and the log the whole
   address does.

Source: RFC 7239.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from packrat_core.aio.addresses import parse_address
from packrat_core.errors import ConfigError


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
        address = parse_address(host)
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
            if parse_address(hop) is None:
                break
            found = hop
        address = parse_address(found)
        return found if address is None else str(address)
