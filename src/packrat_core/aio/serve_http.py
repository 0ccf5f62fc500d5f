"""Serves an aiohttp application, to a bounded number of clients that may be slow."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from packrat_core.aio.limited_connections import ServedConnections, follow_requests
from packrat_core.aio.malformed import log_malformed
from packrat_core.listen import ACCEPTED_AT_ONCE, QUEUED_CONNECTIONS, open_listeners

_STOP_S = 2.0


@asynccontextmanager
async def serving_http(
    application: web.Application, host: str, port: int, setting: str, connections_limit: int
) -> AsyncIterator[int]:
    """Serve while the context lasts.

    Args:
        application: What answers.
        host: A name or an address.
        port: The port; 0 for any free one.
        setting: The option or key that chooses the address, for the message.
        connections_limit: The number of connections that are open at a time.

    Yields:
        The port.

    Raises:
        ConfigError: The address can't be listened on.
    """
    # A logger that no one else gets, so that what aiohttp says as a client is not touched.
    logger = logging.Logger(__name__)
    logger.addHandler(_ServerLog())
    connections = ServedConnections(connections_limit)
    application.middlewares.append(follow_requests)
    runner = web.AppRunner(application, access_log=None, logger=logger, shutdown_timeout=_STOP_S)
    await runner.setup()
    assert runner.server is not None
    servers = []
    try:
        loop = asyncio.get_running_loop()
        protocol = connections.protocol(runner.server, logger)
        listeners = open_listeners(host, port, setting)
        for listener in listeners:
            servers.append(await loop.create_server(protocol, sock=listener, backlog=ACCEPTED_AT_ONCE))
            # asyncio has set the length of the queue to the number of connections that are accepted at a time.
            listener.listen(QUEUED_CONNECTIONS)
        bound: int = listeners[0].getsockname()[1]
        yield bound
    finally:
        for server in servers:
            server.close()
        await runner.cleanup()


class _ServerLog(logging.Handler):
    """Takes what aiohttp's server logs; what it says of a malformed request holds the bytes of the client."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a malformed request in our own words; pass anything else on."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            log_malformed(str(record.args[0]) if isinstance(record.args, tuple) and record.args else None)
            return
        # A client that leaves before it was answered is not a fault.
        library = logging.getLogger("aiohttp.server")
        if not isinstance(error, ConnectionError) and library.isEnabledFor(record.levelno):
            library.handle(record)
