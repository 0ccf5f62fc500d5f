"""Bounds of connections: how many a server process holds, which make room, and when a client no longer reads."""

import asyncio
import fcntl
import resource
import struct
import termios
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

OTHER_DESCRIPTORS = 256
"""Descriptors for databases, the log, listeners, and connections that were accepted a moment ago."""
_FEWEST = 16
_INT = struct.Struct("i")
C = TypeVar("C")


def connection_limit(most: int) -> int:
    """Raise the number of descriptors as far as the system allows, and give how many connections that suffices for.

    A connection may need two, one for the socket and one for the file that is sent or received.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * most + OTHER_DESCRIPTORS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(_FEWEST, min(most, (soft - OTHER_DESCRIPTORS) // 2))


def count_unread(transport: asyncio.WriteTransport) -> int:
    """Count the bytes that the client has not received yet; 0 once the system has taken all of them.

    What waits here may stay as it is for minutes: the system takes more of it only when it has sent a third of the
    megabytes that it holds itself, and a client that is slow on purpose takes a few kilobytes a second.
    """
    unread = transport.get_write_buffer_size()
    if not unread:
        return 0
    held = bytearray(_INT.size)
    with suppress(OSError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
    return int(unread + _INT.unpack(held)[0])


class Unread:
    """Seconds for which a client has read nothing of the answer that waits for it."""

    def __init__(self) -> None:
        self.bytes = 0
        """Bytes that the client had not received when this was last counted."""
        self._unchanged_s = 0.0

    def count(self, transport: asyncio.WriteTransport | None, passed_s: float) -> float:
        """Count time that has passed; gives the seconds since the client last read, 0 if nothing waits for it."""
        unread = count_unread(transport) if transport is not None else 0
        self._unchanged_s = self._unchanged_s + passed_s if unread and unread == self.bytes else 0.0
        self.bytes = unread
        return self._unchanged_s


def find_crowd(connections: Iterable[C], network_of: Callable[[C], str]) -> list[C]:
    """Give the connections of the network that has the most, in their order; of several, the one that comes first."""
    by_network: dict[str, list[C]] = {}
    for connection in connections:
        by_network.setdefault(network_of(connection), []).append(connection)
    return max(by_network.values(), key=len, default=[])
