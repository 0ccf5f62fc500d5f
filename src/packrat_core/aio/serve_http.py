"""Serves an aiohttp application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from packrat_core.listen import open_listeners

_STOP_S = 2.0


@asynccontextmanager
async def serving_http(application: web.Application, host: str, port: int, setting: str) -> AsyncIterator[int]:
    """Serve while the context lasts.

    Args:
        application: What answers.
        host: A name or an address.
        port: The port; 0 for any free one.
        setting: The option or key that chooses the address, for the message.

    Yields:
        The port.

    Raises:
        ConfigError: The address can't be listened on.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_S)
    await runner.setup()
    try:
        listeners = open_listeners(host, port, setting)
        for listener in listeners:
            await web.SockSite(runner, listener).start()
        bound: int = listeners[0].getsockname()[1]
        yield bound
    finally:
        await runner.cleanup()
