"""A port that stays a test's own while nobody listens there, such as between two starts of a server."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def hold_port(host: str = "127.0.0.1") -> socket.socket:
    """Bind a socket to a free port, so that the kernel gives it to no other program but one that is told of it.

    Both have SO_REUSEADDR set, and only one of them listens: so Linux lets them share the port.
    """
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, 0))
    return holder


def has_ipv6() -> bool:
    """Tell whether this machine has its own address of IPv6."""
    with suppress(OSError):
        hold_port("::1").close()
        return True
    return False


@contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Hold a port while the context lasts."""
    with hold_port(host) as holder:
        yield int(holder.getsockname()[1])
