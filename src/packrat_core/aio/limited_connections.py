"""Keeps connections to an aiohttp server within limits of time and number, as slow or many clients keep others out.

1. The head of a request must arrive within HEAD_S. No request that is answered here has a body, so a body counts as the
   head of the next request.
2. Between two requests a connection may stay open for IDLE_S.
3. An answer of which the client reads nothing for STALLED_S is given up.
4. As many connections are open as the limit says. The next one takes the place of another: of the connections that wait
   for their client, if there are any, the oldest one of the address that has the most. If all are being answered,
   the address that has the most makes room for others, and gets no further connection itself.

Usage:

    connections = ServedConnections(limit)
    application.middlewares.append(follow_requests)
    await loop.create_server(connections.protocol(runner.server, logger), sock=listener)
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from packrat_core.aio.addresses import name_network
from packrat_core.aio.connection_bounds import Unread, find_crowd
from packrat_core.aio.open_connections import OpenConnections

HEAD_S = 10.0
IDLE_S = 75.0
STALLED_S = 60.0


class ServedConnections(OpenConnections["LimitedConnection"]):
    """All connections of one aiohttp server."""

    def protocol(self, server: web.Server, logger: logging.Logger) -> Callable[[], asyncio.Protocol]:
        """Return the factory by which the event loop makes the protocol of a connection."""
        loop = asyncio.get_running_loop()
        return functools.partial(LimitedConnection, self, server, loop=loop, access_log=None, logger=logger)

    def _find_replaceable(self, newest: "LimitedConnection") -> "list[LimitedConnection]":
        waiting = [connection for connection in self._open if connection.is_waiting and connection is not newest]
        crowd = find_crowd(waiting or self._open, lambda connection: connection.network)
        # The address with the most connections does not get one more by ending an answer of its own.
        return [newest] if newest in crowd else crowd[:1]


@web.middleware
async def follow_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Note on its connection while a request is being answered."""
    connection = request.protocol
    assert isinstance(connection, LimitedConnection)
    connection.begin()
    try:
        return await handler(request)
    finally:
        connection.finish()


class LimitedConnection(web.RequestHandler):
    """One connection, which must keep to the limits."""

    def __init__(self, connections: ServedConnections, server: web.Server, **more: Any) -> None:
        super().__init__(server, **more)
        self.network = ""
        self.is_waiting = True
        """Whether it is the client's turn."""
        self._connections = connections
        # A new connection must send a head at once.
        self._has_head_begun = True
        self._waited_s = 0.0
        self._unread = Unread()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.network = name_network(peer[0]) if peer else ""
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read."""
        if self.is_waiting and data and not self._has_head_begun:
            self._has_head_begun, self._waited_s = True, 0.0
        super().data_received(data)

    def begin(self) -> None:
        """Note that a request is being answered."""
        self.is_waiting = self._has_head_begun = False

    def finish(self) -> None:
        """Note that it was answered, but perhaps not sent."""
        self.is_waiting, self._waited_s = True, 0.0

    def end(self) -> None:
        """Close the connection at once, whatever is under way."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def count(self, passed_s: float) -> None:
        """Count time that has passed, and end the connection if it has waited for too long."""
        stalled_s = self._unread.count(self.transport, passed_s)
        if self.is_waiting and not self._unread.bytes:
            self._waited_s += passed_s
        if stalled_s >= STALLED_S or self._waited_s >= (HEAD_S if self._has_head_begun else IDLE_S):
            self.end()
