"""The access log: a line for each request in the combined format, which nothing that a client sends can break."""

import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from packrat_server.api.addresses import TrustedProxies
from packrat_server.api.serve_options import ServeOptions
from packrat_server.cli import main as cli
from support.world import World, world

LINE = re.compile(
    r'(?P<address>\S+) - (?P<user>\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(?P<request>[^"]*)" '
    r'(?P<status>\d{3}) (?P<sent>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, path: Path) -> Iterator[World]:
    options = ServeOptions(TrustedProxies("127.0.0.1"), path)
    with world(tmp_path_factory.mktemp("world"), None, options) as made:
        made.auth("root")
        yield made


@dataclass(frozen=True)
class Log:
    """The lines of the requests of one test, which are known by a mark in their query.

    A line is written after its answer, so lines of earlier requests may come at any time.
    """

    path: Path
    mark: str = field(default_factory=lambda: f"mark={secrets.token_hex(8)}")

    def lines(self, count: int, path: Path | None = None) -> list[dict[str, str]]:
        """Wait for so many lines of the test; all lines of the file must be in the format."""
        until = time.monotonic() + 60
        while len(own := [line for line in self._all(path or self.path) if self.mark in line]) < count:
            assert time.monotonic() < until, own
            threading.Event().wait(0.01)
        matches = [LINE.fullmatch(line) for line in own]
        assert all(matches), own
        assert len(own) == count
        return [match.groupdict() for match in matches if match]

    def _all(self, path: Path) -> list[str]:
        if not path.is_file():
            return []
        # The last line may not be whole yet.
        *whole, _rest = path.read_text().split("\n")
        assert all(map(LINE.fullmatch, whole)), whole
        return whole


@pytest.fixture
def log(path: Path) -> Log:
    return Log(path)


def whoami(server: World, log: Log, number: int = 0) -> None:
    assert server.call("CALL", f"/api/v2/Auth/User(whoami)?{log.mark}&{number}", {}, "root").status == 200


def test_each_request_is_a_line_with_who_asked_from_where(server: World, log: Log) -> None:
    target = f"/files/hello_2.10-3_amd64.deb?{log.mark}"
    answer = server.ask("GET", target, {**server.auth("root"), "User-Agent": "apt/2.6"})
    server.ask("GET", target, {"X-Forwarded-For": "10.1.2.3", "Referer": "https://example.com"})
    server.ask("GET", target, {"X-Forwarded-For": "2001:db8::7"})
    server.call("CALL", f"/api/v2/Auth/User(whoami)?{log.mark}", {}, None)
    told = {(line["address"], line["user"], line["request"].partition(" ")[0]): line for line in log.lines(4)}
    assert told["127.0.0.1", "root", "GET"] == {
        "address": "127.0.0.1",
        "user": "root",
        "request": f"GET {target} HTTP/1.1",
        "status": "200",
        "sent": str(len(answer.data)),
        "referer": "-",
        "agent": "apt/2.6",
    }
    assert told["10.1.2.3", "-", "GET"]["status"] == "403"
    assert told["10.1.2.3", "-", "GET"]["referer"] == "https://example.com"
    assert told["2001:db8::7", "-", "GET"]["status"] == "403"
    assert told["127.0.0.1", "-", "CALL"]["status"] == "200"


def test_nothing_that_a_client_sends_breaks_a_line(server: World, path: Path, log: Log) -> None:
    nasty = 'a" 200 1 "-" "\\\x1b[2J\t\x80'
    target = f'/files/"quoted"\\?{log.mark}'
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as client:
        request = (
            f"GET {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: {nasty}\r\nAuth-Id: a b\r\nConnection: close\r\n\r\n"
        )
        client.sendall(request.encode("latin-1"))
        while client.recv(65536):
            pass
    (line,) = log.lines(1)
    assert '"' not in line["agent"] + line["request"]
    assert path.read_bytes().isascii()
    assert "\x1b" not in path.read_text()
    assert "\\x22quoted\\x22\\x5c" in line["request"]


def test_a_client_that_hangs_up_before_the_answer_is_logged(server: World, log: Log) -> None:
    target = "/api/v2/Repo/Mirror:lab:(changes)"
    position = server.call("CALL", target, {"position": None, "timeout": 0}, "lab").value["position"]
    body = b'{"position": "%s", "timeout": 200}' % position.encode()
    headers = {"CInP-Version": "0.9", "Content-Type": "application/json", **server.auth("lab")}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as client:
        length = f"Content-Length: {len(body)}"
        client.sendall(f"CALL {target}?{log.mark} HTTP/1.1\r\nHost: x\r\n{head}{length}\r\n\r\n".encode() + body)
    (line,) = log.lines(1)
    assert (line["user"], line["status"], line["sent"]) == ("lab", "499", "0")


def test_the_file_may_be_moved_away(server: World, path: Path, log: Log) -> None:
    whoami(server, log, 1)
    log.lines(1)
    moved = path.rename(path.with_suffix(".1"))
    whoami(server, log, 2)
    (line,) = log.lines(1)
    assert line["request"] == f"CALL /api/v2/Auth/User(whoami)?{log.mark}&2 HTTP/1.1"
    (line,) = log.lines(1, moved)
    assert line["request"] == f"CALL /api/v2/Auth/User(whoami)?{log.mark}&1 HTTP/1.1"


def test_a_file_that_can_not_be_made_stops_no_answer_and_is_made_later(server: World, path: Path, log: Log) -> None:
    whoami(server, log, 1)
    log.lines(1)
    moved = path.rename(path.with_suffix(".2"))
    path.mkdir()
    try:
        for number in (2, 3):
            whoami(server, log, number)
        # No line is lost in between.
        log.lines(3, moved)
    finally:
        path.rmdir()
    whoami(server, log, 4)
    (line,) = log.lines(1)
    assert line["status"] == "200"
    log.lines(3, moved)


def test_a_file_that_can_not_be_written_is_reported_at_the_start(server: World, tmp_path: Path) -> None:
    wrong = str(tmp_path / "missing" / "access.log")
    done = CliRunner().invoke(cli.main, ["serve", "--access-log", wrong, "--data", str(server.data)])
    assert (done.exit_code, f"--access-log {wrong} can't be written" in done.output) == (2, True)
