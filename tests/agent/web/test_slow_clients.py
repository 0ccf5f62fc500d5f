"""Slow and many clients of the built-in web server keep nobody else out, and it recovers."""

import http.client
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_agent.web import static
from packrat_core.aio import limited_connections
from support.site import DATA, Site
from support.web import web_server

FILE = "/apt-dev/pool/g++_1~2_amd64.deb"
SIZE = 32 * 1024**2
GET = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW: dict[str, tuple[bytes, bytes]] = {
    "silence": (b"", b""),
    "half a request line": (b"GET /", b""),
    "a dripping request line": (b"GET /", b"x"),
    "half a head": (b"GET / HTTP/1.1\r\nHost: x\r\n", b""),
    "a dripping head": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X"),
    "half a body": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n", b""),
    "a dripping body": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n", b"x"),
    "a dripping body in chunks": (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a request and a half": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT", b""),
    "nothing after an answer": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "a protocol that is not spoken": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"x",
    ),
}
CROWD = "127.0.0.2"
"""Another address of the loopback than that of those who shall be answered."""


@contextmanager
def connected(port: int, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Connect; what the client does not read soon stays on the server's side."""
    connection = socket.socket()
    with closing(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        connection.settimeout(30)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", port))
        yield connection


def is_open(connection: socket.socket) -> bool:
    """Whether the server has the connection open; who does not read is not told."""
    try:
        ends = [connection.getpeername()[1], connection.getsockname()[1]]
    except OSError:
        return False
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == "01" and [int(end.partition(":")[2], 16) for end in row[1:3]] == ends for row in rows)


def read_to_end(connection: socket.socket) -> int:
    """Count the bytes to the end of the connection."""
    received = 0
    with suppress(OSError):
        while part := connection.recv(1024**2):
            received += len(part)
    return received


@pytest.fixture
def small(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server with room for 16 connections, and a large file."""
    monkeypatch.setattr(static, "CONNECTIONS_LIMIT", 16)
    (site.root / "large").write_bytes(bytes(SIZE))
    with web_server(site.root) as url:
        yield Site(site.root, int(url.rpartition(":")[2]))


def test_a_connection_without_a_request_is_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("HEAD_S", "IDLE_S"):
        monkeypatch.setattr(limited_connections, limit, 2.0)

    def ends(slow: tuple[bytes, bytes]) -> bool:
        begun, drip = slow
        with connected(site.port) as connection, suppress(OSError):
            connection.sendall(begun)
            connection.settimeout(0.2)
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    if not connection.recv(65536):
                        return True
                except TimeoutError:
                    connection.sendall(drip)
            return False
        return True

    with ThreadPoolExecutor(len(SLOW)) as pool:
        assert dict(zip(SLOW, pool.map(ends, SLOW.values()), strict=True)) == dict.fromkeys(SLOW, True)
    assert site.ask(FILE).body == DATA


def test_a_connection_serves_many_requests(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_connections, "HEAD_S", 2.0)
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    with closing(connection):
        connection.connect()
        opened = connection.sock
        for pause_s in (0, 3.5, 0):
            # Between two requests the time for a head does not count.
            select.select([opened], [], [], pause_s)
            connection.request("GET", FILE)
            assert connection.getresponse().read() == DATA
            assert connection.sock is opened


def test_slow_readers_are_served_and_those_that_stop_reading_are_cut_off(
    small: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_connections, "STALLED_S", 5.0)
    began = time.monotonic()
    with connected(small.port) as slow, connected(small.port) as idle, connected(small.port) as asking:
        for connection in (slow, idle):
            connection.sendall(GET.replace(b"Host", b"Connection: close\r\nHost"))
        # Nobody who asks much without reading makes the server hold the answers.
        with suppress(OSError):
            asking.settimeout(1)
            asking.sendall(GET * 100_000)
        received = 0
        while is_open(idle) or is_open(asking) or time.monotonic() < began + 8:
            assert time.monotonic() < began + 120
            received += len(slow.recv(32 * 1024))
            select.select([], [], [], 0.2)
        assert received + read_to_end(slow) > SIZE
        assert read_to_end(idle) < SIZE


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", GET], ids=["silent", "idle", "stalled"])
def test_many_connections_of_others_keep_nobody_out(small: Site, sent: bytes) -> None:
    with capture_logs() as logged, ExitStack() as opened:
        for _ in range(100):
            connection = opened.enter_context(connected(small.port, CROWD))
            with suppress(OSError):
                connection.sendall(sent)
        for _ in range(3):
            assert small.ask(FILE).body == DATA
        assert small.ask("/large").body == bytes(SIZE)
    assert [line["limit"] for line in logged if line["event"] == "crowded"] == [16]


def test_a_client_being_answered_is_not_cut_off_by_its_own_address(small: Site) -> None:
    with ExitStack() as opened:
        first = [opened.enter_context(connected(small.port)) for _ in range(16)]
        for connection in first:
            connection.sendall(GET.replace(b"Host", b"Connection: close\r\nHost"))
        for connection in first:
            assert connection.recv(1)
        with connected(small.port) as more, suppress(OSError):
            more.sendall(GET)
            assert more.recv(1) == b""
        with ThreadPoolExecutor(16) as pool:
            assert all(received > SIZE for received in pool.map(read_to_end, first))


def test_clients_that_go_before_the_answer_fill_no_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        with connected(site.port) as connection:
            connection.sendall(GET.replace(b"/large", FILE.encode()))
            connection.shutdown(socket.SHUT_WR)
            read_to_end(connection)
    assert site.ask(FILE).body == DATA
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_descriptors_that_are_used_up(site: Site) -> None:
    command = [
        sys.executable,
        "-m",
        "packrat_agent",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--root",
        os.fspath(site.root),
    ]

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=few_descriptors) as process:  # noqa: PLW1509
        assert process.stderr is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found is not None
        served = Site(site.root, int(found[1]))
        with ExitStack() as opened:
            for _ in range(600):
                opened.enter_context(connected(served.port, CROWD)).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert served.ask(FILE).body == DATA
        assert served.ask(FILE).body == DATA
        process.terminate()
        lines = process.stderr.read().splitlines()
    assert process.returncode == 0
    assert len(lines) <= 2, lines
