"""Runs the server: in this thread until it is told to stop, or in a thread beside the caller."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from anyio import CapacityLimiter, move_on_after, to_thread
from sqlalchemy import Engine, select
from starlette.types import Receive, Scope, Send

from packrat_core.aio.connection_bounds import connection_limit
from packrat_core.listen import ACCEPTED_AT_ONCE, QUEUED_CONNECTIONS, open_listeners, show_url
from packrat_server.accounts.callers import Callers
from packrat_server.accounts.downloads import Downloads
from packrat_server.accounts.login_delays import LoginDelays
from packrat_server.accounts.login_queue import LoginQueue
from packrat_server.api.access_log import AccessLog
from packrat_server.api.app import App
from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.api.context import ServerContext
from packrat_server.api.request_threads import limit_threads
from packrat_server.api.serve_options import ServeOptions
from packrat_server.promotion.epochs import read_epochs
from packrat_server.serving.change_watch import watching
from packrat_server.serving.connections import CONNECTIONS_LIMIT, KNOWN_IDLE_S, ServerConnections
from packrat_server.serving.housekeeping import forget_old, keeping_clean
from packrat_server.serving.stored_files import compare_files
from packrat_server.store.blobs import check_directories, explained, remove_parts
from packrat_server.store.data_directory_lock import DataDirectoryLock
from packrat_server.store.database import check_database, open_database, where, writing
from packrat_server.store.login_key import read_login_key
from packrat_server.store.network_disk import is_on_network
from packrat_server.store.postgresql import THREADS
from packrat_server.store.tables import package_files, uploads

log = structlog.get_logger()

_GRACEFUL_S = 2
_THREADS_S = 5.0
_STOP_S = 25.0
"""A stop takes no longer, whatever waits for a database or a disk that does not answer."""
_SQLITE_THREADS = 40
_SWITCH_S = 0.0005
_M_MMAP_THRESHOLD = -3
_OWN_BLOCK_BYTES = 256 * 1024


class _Server(uvicorn.Server):
    """Ends the polls before it waits for answers that are under way: a poll may take four minutes."""

    def __init__(self, config: uvicorn.Config, context: ServerContext) -> None:
        super().__init__(config)
        self._notifier = context.notifier
        self._access_log = context.access_log
        self.database = where(context.engine)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        try:
            super().run(sockets)
        finally:
            # An answer that the stop breaks off writes its line when all else is closed.
            if self._access_log is not None:
                self._access_log.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        await super().startup(sockets=sockets)
        # uvicorn has set the length of the queue to the number of connections that are accepted at a time.
        for listener in sockets or ():
            listener.listen(QUEUED_CONNECTIONS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal; on a second Ctrl-C, don't wait for answers that are under way.

        uvicorn's own handler would send the signal to the process again at the end, which would then die of it.
        """
        self._notifier.close()
        if not self.should_exit:
            late = threading.Timer(_STOP_S, _end_late)
            late.daemon = True
            late.start()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def stop(self) -> None:
        """Stop from another thread."""
        self._notifier.close()
        self.should_exit = True


def serve(data_dir: Path, host: str, port: int, options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        data_dir: The server's data directory.
        host: The address to listen on.
        port: The port to listen on.
        options: What the operator chooses.

    Raises:
        ConfigError: There is no server in data_dir, or the address can't be listened on.
        ServerUnavailable: The database can't be reached.
    """
    server, listeners = _prepare(data_dir, host, port, options)
    if options.is_public:
        log.warning("public", text="everybody who reaches this server can read all records and files")
    log.info("serving", url=_url(listeners[0]), data=str(data_dir), database=server.database)
    _favour_short_requests()
    # uvicorn closes them.
    server.run(sockets=listeners)
    log.info("stopped")
    _leave_threads()


@contextmanager
def running(
    data_dir: Path, host: str = "127.0.0.1", port: int = 0, options: ServeOptions | None = None
) -> Iterator[str]:
    """Serve in a thread beside the caller.

    Args:
        data_dir: The server's data directory.
        host: The address to listen on.
        port: The port to listen on; 0 for any free one.
        options: What the operator chooses.

    Yields:
        The server's URL.

    Raises:
        ConfigError: There is no server in data_dir, or the address can't be listened on.
        ServerUnavailable: The database can't be reached.
    """
    server, listeners = _prepare(data_dir, host, port, options or ServeOptions())
    # The socket listens already, so a request that comes before the thread runs waits instead of failing.
    thread = threading.Thread(target=server.run, kwargs={"sockets": listeners}, name="packrat-server", daemon=True)
    thread.start()
    try:
        yield _url(listeners[0])
    finally:
        server.stop()
        thread.join()
        for listener in listeners:
            listener.close()


def _prepare(data_dir: Path, host: str, port: int, options: ServeOptions) -> tuple[_Server, list[socket.socket]]:
    engine = open_database(data_dir)
    with ExitStack() as undo:
        undo.callback(engine.dispose)
        check_database(engine)
        lock = _take_data_directory(engine, data_dir, undo)
        with explained(data_dir):
            delays = LoginDelays(key=read_login_key(data_dir))
        access_log = None if options.access_log is None else AccessLog(options.access_log)
        listeners = open_listeners(host, port, "--listen")
        undo.pop_all()
    context = ServerContext(
        engine,
        data_dir,
        ChangeNotifier(engine),
        LoginQueue(),
        Downloads(engine),
        Callers(engine),
        options,
        access_log,
        delays,
        is_on_network=is_on_network(data_dir / "files"),
    )
    connections = ServerConnections(connection_limit(CONNECTIONS_LIMIT), options.trusted_proxies)
    config = uvicorn.Config(
        _Lifespan(App(context), context, lock),
        http=connections.protocol(),  # type: ignore[arg-type] # only ever called
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # The application looks at X-Forwarded-For itself.
        proxy_headers=False,
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=_GRACEFUL_S,
        timeout_keep_alive=int(KNOWN_IDLE_S),
    )
    return _Server(config, context), listeners


def _take_data_directory(engine: Engine, data_dir: Path, undo: ExitStack) -> DataDirectoryLock:
    """Lock a data directory and put it in order; gives the lock, which `undo` releases."""
    with explained(data_dir):
        lock = DataDirectoryLock(data_dir)
        undo.callback(lock.release)
        # In this order: while the lock is exclusive no server takes uploads in, so what no record names is an orphan.
        named = _forget_old_records(engine)
        check_directories(data_dir, bool(named))
        read_epochs(engine, data_dir)
        if lock.is_alone:
            remove_parts(data_dir)
            compare_files(engine, data_dir, named)
            lock.share()
    return lock


def _favour_short_requests() -> None:
    """Let a long computation, such as parsing a large body, delay others little, and give its memory back after it."""
    sys.setswitchinterval(_SWITCH_S)
    # The C library would keep large blocks in each thread that ever had one. Other C libraries have no such function.
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _OWN_BLOCK_BYTES)


def _leave_threads() -> None:
    """End the process although threads wait for a database or a disk that does not answer; Python would wait for them.

    Nobody gets what they would answer, and what they were to change is rolled back, as after a crash.
    """
    until = time.monotonic() + _THREADS_S
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in others):
        _leave()


def _end_late() -> None:
    """End a process whose event loop waits, too."""
    log.info("stopped")
    _leave()


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return show_url(host, port)


def _forget_old_records(engine: Engine) -> set[str]:
    """Forget old uploads, sessions and changes; gives the hashes of the files that records still name."""
    with writing(engine) as connection:
        forget_old(connection, time.time())
        named = set(connection.execute(select(package_files.c.sha256)).scalars())
        return named | set(connection.execute(select(uploads.c.sha256)).scalars())


async def _close(close: Callable[[], None]) -> None:
    """Close something in a thread, which is left behind if it waits for a database that does not answer."""
    with move_on_after(_THREADS_S):
        await to_thread.run_sync(close, abandon_on_cancel=True, limiter=CapacityLimiter(1))


class _Lifespan:
    """Wraps the application: starts the watch for changes with it, and closes everything after it."""

    def __init__(self, app: App, context: ServerContext, lock: DataDirectoryLock) -> None:
        self._app = app
        self._context = context
        self._lock = lock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        limit_threads(THREADS if self._context.engine.dialect.name == "postgresql" else _SQLITE_THREADS)
        async with watching(self._context), keeping_clean(self._context):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await _close(self._context.logins.close)
        self._context.downloads.close()
        self._context.callers.close()
        await _close(self._context.engine.dispose)
        self._lock.release()
        await send({"type": "lifespan.shutdown.complete"})
