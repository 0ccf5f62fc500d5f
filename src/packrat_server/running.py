"""Runs the server: in this thread until told to stop, or beside it.

Takes: a data directory, an address.
Gives: the address that it listens on.
Touches: the network, through uvicorn; the data directory.
"""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from sqlalchemy import Engine, delete, select
from starlette.types import Receive, Scope, Send

from packrat_core.listen import open_listeners, show_url
from packrat_server.api.app import App
from packrat_server.api.calls import House
from packrat_server.epochs import read_epochs
from packrat_server.journal import Bell, prune
from packrat_server.login_queue import LoginQueue
from packrat_server.store.blobs import drop_orphans
from packrat_server.store.database import open_database, where, writing
from packrat_server.store.occupied import Occupied
from packrat_server.store.tables import package_files, uploads
from packrat_server.watch import watching

log = structlog.get_logger()

_UPLOAD_KEPT_S = 24 * 3600.0
_GRACEFUL_S = 2


class _Server(uvicorn.Server):
    """Lets those go who wait for a change before it waits for them."""

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._bell = house.bell
        self.database = where(house.engine)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop; a second Ctrl-C does not wait for answers that are under way.

        uvicorn's own would send itself the signal again at the end, and die of it.
        """
        self._bell.close()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def stop(self) -> None:
        """Stop from another thread."""
        self._bell.close()
        self.should_exit = True


def serve(data_dir: Path, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises: ConfigError where the address can't be had or there is no server in data_dir.
    """
    server, listeners = _prepare(data_dir, host, port)
    log.info("serving", url=_url(listeners[0]), data=str(data_dir), database=server.database)
    # uvicorn closes them.
    server.run(sockets=listeners)
    log.info("stopped")


@contextmanager
def running(data_dir: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve beside the caller; gives the URL. Port 0: any free one.

    Raises: ConfigError
    """
    server, listeners = _prepare(data_dir, host, port)
    # The socket listens already: a request made before the server takes it waits.
    thread = threading.Thread(target=server.run, kwargs={"sockets": listeners}, name="packrat-server", daemon=True)
    thread.start()
    try:
        yield _url(listeners[0])
    finally:
        server.stop()
        thread.join()
        for listener in listeners:
            listener.close()


def _prepare(data_dir: Path, host: str, port: int) -> tuple[_Server, list[socket.socket]]:
    engine = open_database(data_dir)
    occupied = Occupied(data_dir)
    try:
        read_epochs(engine, data_dir)
        known = _forget(engine)
        if occupied.alone:
            _drop(data_dir, known)
            occupied.let_others_in()
        listeners = open_listeners(host, port, "--listen")
    except BaseException:
        occupied.leave()
        engine.dispose()
        raise
    house = House(engine, data_dir, Bell(), LoginQueue())
    config = uvicorn.Config(
        _WithLife(App(house), house, occupied),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACEFUL_S,
        timeout_keep_alive=75,
    )
    return _Server(config, house), listeners


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return show_url(host, port)


def _forget(engine: Engine) -> set[str]:
    """Forget old uploads and the oldest changes; gives the hashes of the files that are still named."""
    with writing(engine) as connection:
        connection.execute(delete(uploads).where(uploads.c.at < time.time() - _UPLOAD_KEPT_S))
        prune(connection)
        known = set(connection.execute(select(package_files.c.sha256)).scalars())
        return known | set(connection.execute(select(uploads.c.sha256)).scalars())


def _drop(data_dir: Path, known: set[str]) -> None:
    """Remove the files that nobody names."""
    gone = drop_orphans(data_dir, known)
    if gone:
        log.info("tidied", files=gone)


class _WithLife:
    """The application, with a watch for changes that other processes make to the database."""

    def __init__(self, app: App, house: House, occupied: Occupied) -> None:
        self._app = app
        self._house = house
        self._occupied = occupied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        async with watching(self._house):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await asyncio.to_thread(self._house.logins.close)
        await asyncio.to_thread(self._house.engine.dispose)
        self._occupied.leave()
        await send({"type": "lifespan.shutdown.complete"})
