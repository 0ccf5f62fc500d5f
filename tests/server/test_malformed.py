"""A request that is not HTTP is one line of the log, in our words, without a byte of what the client sent."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from support.world import World, world


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("malformed")) as made:
        yield made


def _send(server: World, sent: bytes) -> bytes:
    at = urlsplit(server.url)
    assert at.hostname and at.port
    with socket.create_connection((at.hostname, at.port), timeout=30) as connection:
        connection.sendall(sent)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01SECRET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno header SECRET\r\n\r\n",
        b"GET /" + b"S" * 100_000,
        b"POST /api/v2/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nSECRET\r\n",
        # Its answer waits for no body.
        b"POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nSECRET\r\n",
    ],
    ids=["tls", "header", "long", "chunk", "chunk of an upload"],
)
def test_malformed_http_is_refused(server: World, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logged:
        answer = _send(server, sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    (line,) = [line for line in logged if line["event"] == "malformed"]
    assert (line["log_level"], line["address"]) == ("info", "127.0.0.1")
    assert "SECRET" not in str(logged)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_request_with_two_lengths_is_refused_and_what_follows_is_no_request(server: World) -> None:
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    for verb in (b"GET /health", b"POST /api/upload"):
        answer = _send(server, verb + b" HTTP/1.1\r\nHost: a\r\n" + both + b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_that_goes_wrong_after_the_answer(server: World, caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    at = urlsplit(server.url)
    assert at.hostname and at.port
    with capture_logs() as logged, socket.create_connection((at.hostname, at.port), timeout=30) as connection:
        connection.sendall(head)
        assert connection.recv(65536)
        connection.sendall(b"SECRET\r\n")
        with pytest.raises(ConnectionError):
            while connection.recv(65536):
                pass
            raise ConnectionError
    assert [line["event"] for line in logged] == ["malformed"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_websocket_upgrade_is_not_warned_of(server: World, caplog: pytest.LogCaptureFixture) -> None:
    answer = server.ask("GET", "/health", {"Connection": "Upgrade", "Upgrade": "websocket"})
    assert answer.status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_path_can_not_write_a_line_of_its_own_into_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with world(tmp_path) as server, capture_logs() as logged:
        headers = server.auth("root")
        for file in server.data.glob("packrat.db*"):
            file.write_bytes(b"no database" * 1000)
        answer = server.ask("GET", "/files/a%0aFORGED", headers)
    assert answer.status == 500
    (line,) = [line for line in logged if line["event"] in ("unanswered", "internal")]
    assert line["path"] == "/files/a\nFORGED"
    assert not caplog.records
