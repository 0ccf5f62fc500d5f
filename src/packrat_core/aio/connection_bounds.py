"""How many connections a server process may hold, and how much of an answer its client has not received yet."""

import asyncio
import fcntl
import resource
import struct
import termios
from contextlib import suppress

OTHER_DESCRIPTORS = 256
"""Descriptors for databases, the log, listeners, and connections that were accepted a moment ago."""
_FEWEST = 16
_INT = struct.Struct("i")


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
