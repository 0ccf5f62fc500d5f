"""Callers that hang up while a thread works for them count until it ends, so they can't make any number of threads."""

import asyncio
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from anyio._backends._asyncio import WorkerThread
from anyio.to_thread import current_default_thread_limiter

from packrat_server.api import change_actions
from packrat_server.api.admission import WRITERS
from packrat_server.api.request_threads import run_to_end
from support.world import World, world

HEARTBEAT = "/api/v2/Repo/Mirror:lab:(heartbeat)"


def test_cancelled_work_keeps_its_place_until_it_ends() -> None:
    async def main() -> None:
        begun, may_end = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            may_end.wait(60)

        limiter = current_default_thread_limiter()
        task = asyncio.ensure_future(run_to_end(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert (limiter.borrowed_tokens, task.done()) == (1, False)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert limiter.borrowed_tokens == 0

    asyncio.run(main())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Let every change of the database wait."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def beat(server: World) -> socket.socket:
    """Send a heartbeat, whose answer nobody reads."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    headers = {"Host": "x", "CInP-Version": "0.9", "Content-Length": "0", **server.auth("lab")}
    lines = [f"CALL {HEARTBEAT} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def beating() -> int:
    """Number of threads that write a heartbeat; the one of the event loop only hands it to them."""
    workers = {thread.ident for thread in threading.enumerate() if isinstance(thread, WorkerThread)}
    return sum(_is_heartbeat(frame) for ident, frame in sys._current_frames().items() if ident in workers)


def _is_heartbeat(frame: object) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == change_actions.__file__:  # type: ignore[attr-defined]
            return True
        frame = frame.f_back  # type: ignore[attr-defined]
    return False


def comes(condition: Callable[[], bool], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.01)
    return True


def test_callers_that_hang_up_leave_the_number_of_threads_bounded(server: World) -> None:
    server.auth("lab")
    with held(server.data / "packrat.db"):
        with ExitStack() as first:
            for _ in range(30):
                first.enter_context(beat(server))
            assert comes(lambda: beating() == WRITERS, 60)
        with ExitStack() as second:
            for _ in range(30):
                second.enter_context(beat(server))
            assert comes(lambda: beating() >= WRITERS, 60)
            assert not comes(lambda: beating() > WRITERS, 1)
    assert server.call("CALL", HEARTBEAT, None, "lab").status == 200
