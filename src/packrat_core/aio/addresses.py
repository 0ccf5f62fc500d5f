"""Reads addresses of clients, and names the network that one counts as.

For limits the first 64 bits of an IPv6 address count: a client that has one address of such a network has all.

Source: RFC 4291.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_PREFIX_BITS = 64
_USUAL_LENGTH = 64
"""Characters of an address that is remembered; longer text comes from who wants the memory to be full."""
_REMEMBERED = 1024


def name_network(host: str) -> str:
    """Give the address as it is counted: an IPv4 address, or the network of an IPv6 address."""
    address = parse_address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), _PREFIX_BITS), strict=False))
    return host if address is None else str(address)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
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
