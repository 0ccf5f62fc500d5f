"""An answer that the disk breaks off ends its connection, and the log has one line of it that names the file."""

import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from packrat_server.api.serve_options import ServeOptions
from support.broken_off import read_shortened
from support.world import World, world

SIZE = 64 * 1024**2
"""More than the buffers on the way hold."""
PATH = "/files/conf_1.0.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("broken-off")) as made:
        yield made


@pytest.fixture
def large(server: World) -> Path:
    """A large package file, as it is stored."""
    (path,) = (server.data / "files").glob("*/*")
    os.truncate(path, SIZE)
    return path


@pytest.mark.parametrize("more", [{}, {"Range": "bytes=9-"}], ids=["whole", "a part"])
def test_a_file_that_becomes_shorter_breaks_its_answer_off(
    server: World, large: Path, more: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    at = urlsplit(server.url)
    assert at.hostname and at.port
    headers = {**server.auth("root"), **more, "Host": "x"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    asked = f"GET {PATH} HTTP/1.1\r\n{head}\r\n".encode()
    with capture_logs() as logged:
        count = read_shortened(at.hostname, at.port, asked, large)
    assert count < SIZE
    (line,) = [line for line in logged if line["log_level"] == "error"]
    assert (line["event"], line["path"]) == ("unanswered", PATH)
    assert f"{large} has become shorter" in line["reason"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_server_that_stops_ends_its_answers_without_tracebacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access_log = tmp_path / "access.log"
    with ExitStack() as opened:
        with world(tmp_path, options=ServeOptions(access_log=access_log)) as server:
            (path,) = (server.data / "files").glob("*/*")
            os.truncate(path, SIZE)
            at = urlsplit(server.url)
            auth = "".join(f"{name}: {value}\r\n" for name, value in server.auth("root").items())
            asked = (f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{auth}\r\n", f"POST /api/upload HTTP/1.1\r\nHost: x\r\n{auth}")
            download, upload = (opened.enter_context(socket.socket()) for _ in asked)
            for connection in (download, upload):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
                connection.settimeout(30)
                connection.connect((at.hostname, at.port))
            download.sendall(asked[0].encode())
            assert download.recv(1024).startswith(b"HTTP/1.1 200 ")
            upload.sendall(f"{asked[1]}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode())
            assert upload.recv(1024).startswith(b"HTTP/1.1 100 ")
        answer = upload.recv(1024)
    # Older clients match the names of headers case-sensitively.
    assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in answer
    assert re.search(r'"POST /api/upload HTTP/1.1" 503 ', access_log.read_text())
    assert not [record for record in caplog.records if record.exc_info]


def test_a_change_that_may_yet_be_made_is_not_answered_as_if_it_could_be_asked_for_again(tmp_path: Path) -> None:
    body = b'{"tag": "/api/v2/Attrib/Tag:dev:"}'
    asked = "CALL /api/v2/Package/PackageFile:7:(tag) HTTP/1.1\r\nHost: x\r\nCInP-Version: 0.9\r\n"
    with ExitStack() as opened:
        with world(tmp_path) as server:
            at = urlsplit(server.url)
            headers = {**server.auth("root"), "Content-Type": "application/json", "Content-Length": str(len(body))}
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            connection = opened.enter_context(socket.create_connection((at.hostname, at.port), timeout=30))
            other = opened.enter_context(closing(sqlite3.connect(server.data / "packrat.db", isolation_level=None)))
            other.execute("BEGIN IMMEDIATE")
            connection.sendall(f"{asked}{head}Expect: 100-continue\r\n\r\n".encode())
            assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
            connection.sendall(body)
        assert connection.recv(1024) == b""
        other.execute("ROLLBACK")
