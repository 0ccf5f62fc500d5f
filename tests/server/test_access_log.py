"""The access log: a line for each request in the combined format, which nothing that a client sends can break."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass
class Log:
    """The lines of a log that come from now on."""

    path: Path
    before: int = 0

    def __post_init__(self) -> None:
        self.before = len(self.path.read_text().splitlines()) if self.path.is_file() else 0

    def new(self, count: int) -> list[dict[str, str]]:
        """Wait for so many lines, which are written after the answers; all must be in the format."""
        until = time.monotonic() + 30
        while len(found := self.path.read_text().splitlines()[self.before :] if self.path.is_file() else []) < count:
            assert time.monotonic() < until, found
            threading.Event().wait(0.01)
        matches = [LINE.fullmatch(line) for line in found]
        assert all(matches), found
        assert len(found) >= count
        return [match.groupdict() for match in matches if match]


def test_each_request_is_a_line_with_who_asked_from_where(server: World, path: Path) -> None:
    log = Log(path)
    answer = server.ask("GET", "/files/hello_2.10-3_amd64.deb?a=b", {**server.auth("root"), "User-Agent": "apt/2.6"})
    server.ask(
        "GET", "/files/hello_2.10-3_amd64.deb", {"X-Forwarded-For": "10.1.2.3", "Referer": "https://example.com"}
    )
    server.call("CALL", "/api/v2/Auth/User(whoami)", {}, None)
    first, second, third = log.new(3)
    assert first == {
        "address": "127.0.0.1",
        "user": "root",
        "request": "GET /files/hello_2.10-3_amd64.deb?a=b HTTP/1.1",
        "status": "200",
        "sent": str(len(answer.data)),
        "referer": "-",
        "agent": "apt/2.6",
    }
    assert (second["address"], second["user"], second["status"]) == ("10.1.2.3", "-", "403")
    assert second["referer"] == "https://example.com"
    assert (third["request"], third["status"]) == ("CALL /api/v2/Auth/User(whoami) HTTP/1.1", "200")


def test_nothing_that_a_client_sends_breaks_a_line(server: World, path: Path) -> None:
    log = Log(path)
    nasty = 'a" 200 1 "-" "\\\x1b[2J\t\x80'
    target = '/files/"quoted"\\'
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as client:
        request = (
            f"GET {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: {nasty}\r\nAuth-Id: a b\r\nConnection: close\r\n\r\n"
        )
        client.sendall(request.encode("latin-1"))
        while client.recv(65536):
            pass
    (line,) = log.new(1)
    assert '"' not in line["agent"] + line["request"]
    assert path.read_bytes().isascii()
    assert "\x1b" not in path.read_text()
    assert "\\x22quoted\\x22\\x5c" in line["request"]


def test_who_hangs_up_before_the_answer_is_on_record(server: World, path: Path) -> None:
    log = Log(path)
    target = "/api/v2/Repo/Mirror:lab:(changes)"
    position = server.call("CALL", target, {"position": None, "timeout": 0}, "lab").value["position"]
    body = b'{"position": "%s", "timeout": 200}' % position.encode()
    headers = {"CInP-Version": "0.9", "Content-Type": "application/json", **server.auth("lab")}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    log.new(2 if "lab" in server.tokens else 1)
    log = Log(path)
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as client:
        length = f"Content-Length: {len(body)}"
        client.sendall(f"CALL {target} HTTP/1.1\r\nHost: x\r\n{head}{length}\r\n\r\n".encode() + body)
    (line,) = log.new(1)
    assert (line["user"], line["status"], line["sent"]) == ("lab", "499", "0")


def test_the_file_may_be_moved_away(server: World, path: Path) -> None:
    log, moved = Log(path), path.with_suffix(".1")
    server.call("CALL", "/api/v2/Auth/User(whoami)", {}, "root")
    log.new(1)
    path.rename(moved)
    before = moved.read_text()
    server.call("GET", "/api/v2/Repo/Repo:apt-dev:", None, "root")
    log.before = 0
    (line,) = log.new(1)
    assert line["request"] == "GET /api/v2/Repo/Repo:apt-dev: HTTP/1.1"
    assert moved.read_text() == before


def test_a_disk_that_takes_no_line_stops_no_answer(server: World, path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    try:
        assert server.call("CALL", "/api/v2/Auth/User(whoami)", {}, "root").status == 200
    finally:
        path.rmdir()
    log = Log(path)
    assert server.call("CALL", "/api/v2/Auth/User(whoami)", {}, "root").status == 200
    assert log.new(1)[-1]["status"] == "200"


def test_a_file_that_can_not_be_written_is_told_at_the_start(server: World, tmp_path: Path) -> None:
    wrong = str(tmp_path / "missing" / "access.log")
    done = CliRunner().invoke(cli.main, ["serve", "--access-log", wrong, "--data", str(server.data)])
    assert (done.exit_code, f"--access-log {wrong} can't be written" in done.output) == (2, True)
