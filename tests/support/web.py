"""Serves a directory in a thread, by the agent's own web server."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_agent.web.static import serving
from packrat_core.listen import show_url


@contextmanager
def web_server(root: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve on loopback while the context lasts; gives the URL."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with serving(root, host, 0) as port:
            ports.append(port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield show_url(host, ports[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
