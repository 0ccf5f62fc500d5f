"""Decides whether a server is reached through the proxy or directly."""

import ipaddress
from collections.abc import Collection


def bypasses(host: str, no_proxy: Collection[str]) -> bool:
    """Tell whether a host is reached without the proxy.

    Args:
        host: A name or an address.
        no_proxy: Names, which also stand for all hosts below them, with or without a leading dot; addresses; networks
            (`10.0.0.0/8`), which match only hosts given as an address; `*` for every host.
    """
    # An IPv6 address stands in brackets, and a name may end with the dot of the root.
    host = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    # Names are not resolved: a network matches addresses only.
    for entry in no_proxy:
        if entry == "*":
            return True
        try:
            network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            # An address has no hosts below it: `1.2.3.4` does not lie below an entry `.4`.
            name = entry.strip(".").lower()
            if address is None and (host == name or host.endswith(f".{name}")):
                return True
            continue
        if address is not None and address.version == network.version and address in network:
            return True
    return False
