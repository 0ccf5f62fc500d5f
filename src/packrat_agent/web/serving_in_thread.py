"""Serves a directory from a thread, beside synchronous work of the same process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_agent.web.static import serving


@contextmanager
def serving_in_thread(root: Path) -> Iterator[str]:
    """Serve on a free loopback port while the context lasts; yields the URL.

    Raises:
        ConfigError: root is not a directory, or no port can be listened on.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="web server", daemon=True)
    thread.start()
    server = serving(root, "127.0.0.1", 0)
    try:
        port = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
