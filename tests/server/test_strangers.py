"""The flood lane: whatever strangers, or a stolen psk, throw at the server, others are answered; memory is bounded."""

import itertools
import json
import re
import resource
import select
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from packrat_server.accounts.passwords import hash_secret
from packrat_server.api.admission import CALLER_LIMIT
from packrat_server.serving import connections
from packrat_server.store.database import open_database, writing
from packrat_server.store.journal import read_newest
from packrat_server.store.tables import journal, mirror_repos, mirrors
from server.test_several_processes import other_process
from support.world import SECRETS, World, world

LOGIN = "/api/v2/Auth/User(login)"
CHANGES = "/api/v2/Repo/Mirror:lab:(changes)"
FILES = "/api/v2/Package/PackageFile"
PLAIN = {"CInP-Version": "0.9", "Content-Type": "application/json;charset=utf-8"}
FLOOR_S = 3.0
"""An answer may take so long in any case: the flood itself, and other tests, take the same processors."""
MEMORY_MB = 300
DESCRIPTORS = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        engine = open_database(made.data)
        with writing(engine) as connection:
            made.tokens["position"] = str(read_newest(connection))
            rows = [
                {"mark": "x", "at": time.time(), "repo": "apt-dev", "package": f"p{n % 2000}"} for n in range(20_000)
            ]
            connection.execute(journal.insert(), rows)
            make_mirrors(connection)
        engine.dispose()
        with other_process(made, descriptors=DESCRIPTORS) as other:
            other.tokens["position"] = made.tokens["position"]
            for name in ("lab", "prod", "root"):
                other.auth(name)
            yield other


def make_mirrors(connection: Connection) -> None:
    """200 mirrors with the same psk, which takes long to hash for each."""
    now, psk = datetime.now(UTC), hash_secret("psk")
    for number in range(200):
        name = f"mirror{number}"
        connection.execute(mirrors.insert().values(name=name, description="x", psk=psk, created=now, updated=now))
        connection.execute(mirror_repos.insert().values(mirror=name, repo="apt-dev", ordinal=0))


@pytest.fixture(autouse=True)
def many_descriptors() -> None:
    """The flood needs some, too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))


def connect(server: World) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


@contextmanager
def asked(times: int, ask: Callable[[int], Any]) -> Iterator[None]:
    """Ask all at once, while the context lasts."""
    with ThreadPoolExecutor(times) as pool:
        answers = [pool.submit(ask, number) for number in range(times)]
        yield
        for answer in answers:
            answer.result()


@contextmanager
def half_sent(server: World, times: int, head: str, body: bytes = b"") -> Iterator[None]:
    """Send the beginning of a request on many connections; the server may close them."""
    with ExitStack() as opened:
        for _ in range(times):
            half = opened.enter_context(connect(server))
            half.setblocking(False)
            try:
                half.send(head.encode() + body)
            except OSError:
                continue
        yield


def nested(server: World, who: str | None) -> AbstractContextManager[None]:
    body = b"[" + b",".join([b"[]"] * 2_700_000) + b"]"
    headers = {**PLAIN, "Filter": "repo", **server.auth(who)}
    return asked(20, lambda _: server.ask("LIST", FILES, headers, body))


def wrong_logins(server: World, name: str) -> AbstractContextManager[None]:
    def log_in(number: int) -> Any:
        login = {"username": name.format(number), "password": f"wrong {number}"}
        return server.call("CALL", LOGIN, login, None)

    return asked(200, log_in)


def half_bodies(server: World, who: str | None) -> AbstractContextManager[None]:
    lines = {"Host": "x", "Filter": "repo", "Content-Length": "8000000", **PLAIN, **server.auth(who)}
    head = f"LIST {FILES} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return half_sent(server, 100, head, b"[" * 1_000_000)


def half_requests(server: World) -> AbstractContextManager[None]:
    return half_sent(server, 1200, f"CALL {LOGIN} HTTP/1.1\r\nHost: x\r\nX-Slow: ")


def deep_polls(server: World) -> AbstractContextManager[None]:
    """Ask for all changes since long ago, again and again."""
    arguments = {"position": server.tokens["position"], "timeout": 0}
    return asked(100, lambda _: server.call("CALL", CHANGES, arguments, "lab"))


FLOODS: dict[str, Callable[[World], AbstractContextManager[None]]] = {
    "nested JSON of strangers": lambda server: nested(server, None),
    "nested JSON of a mirror": lambda server: nested(server, "lab"),
    "wrong logins under one name": lambda server: wrong_logins(server, "root"),
    "wrong logins under many names": lambda server: wrong_logins(server, "nobody{}"),
    "half-sent bodies of strangers": lambda server: half_bodies(server, None),
    "half-sent bodies of a mirror": lambda server: half_bodies(server, "lab"),
    "half requests": half_requests,
    "deep polls": deep_polls,
}


def answer_s(server: World) -> float:
    """How long somebody else's answers take: a record, and a login."""
    began = time.monotonic()
    assert server.call("GET", "/api/v2/Repo/Mirror:prod:", None, "prod").status == 200
    assert log_in(server, "manager", SECRETS["manager"]) == 200
    return time.monotonic() - began


def log_in(server: World, name: str, secret: str) -> int:
    """As agents do: again after a 429, when it says."""
    while (answer := server.call("CALL", LOGIN, {"username": name, "password": secret}, None)).status == 429:
        threading.Event().wait(int(answer.headers["Retry-After"]))
    return answer.status


@pytest.fixture(scope="module")
def quiet_s(server: World) -> float:
    return statistics.median(answer_s(server) for _ in range(5))


@pytest.mark.parametrize("flood", FLOODS)
def test_others_are_answered_during_a_flood(server: World, quiet_s: float, flood: str) -> None:
    with FLOODS[flood](server):
        taken_s = [answer_s(server) for _ in range(3)]
    assert statistics.median(taken_s) < max(10 * quiet_s, FLOOR_S)
    status = Path(f"/proc/{server.process_id}/status").read_text()
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert int(peak) // 1024 < MEMORY_MB


def test_mirrors_that_all_start_at_once_get_in(server: World) -> None:
    def start(number: int) -> int:
        name = f"mirror{number}"
        headers = {**PLAIN, "Auth-Id": name}
        login = {"username": name, "password": "psk"}
        while (answer := server.call("CALL", LOGIN, login, None)).status == 429:
            threading.Event().wait(int(answer.headers["Retry-After"]))
        headers["Auth-Token"] = answer.value
        poll = f"/api/v2/Repo/Mirror:{name}:(changes)"
        first = server.ask("CALL", poll, headers, b'{"position": null, "timeout": 0}').value
        return server.ask("CALL", poll, headers, json.dumps({**first, "timeout": 2}).encode()).status

    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(start, range(200))) == {200}


def test_a_caller_has_a_bound_of_requests_at_work(server: World) -> None:
    position = server.call("CALL", CHANGES, {"position": None, "timeout": 0}, "lab").value["position"]
    # Longer than it takes to ask for all of them, however busy the machine is: a change ends them.
    arguments = {"position": position, "timeout": 50}
    with ThreadPoolExecutor(CALLER_LIMIT + 20) as pool:
        polls = [pool.submit(server.call, "CALL", CHANGES, arguments, "lab") for _ in range(CALLER_LIMIT + 20)]
        refused = [poll.result().status for poll in itertools.islice(as_completed(polls), 20)]
        tag = {"tag": "/api/v2/Attrib/Tag:dev:"}
        assert server.call("CALL", f"{FILES}:7:(tag)", tag).status == 200
        statuses = [poll.result().status for poll in polls]
    assert refused == [429] * 20
    assert statuses.count(200) == CALLER_LIMIT


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server in this process, whose limits of time are short."""
    for limit in ("HEAD_S", "BODY_GRACE_S", "STRANGER_IDLE_S", "DROP_S"):
        monkeypatch.setattr(connections, limit, 2.0)
    with world(tmp_path) as made:
        yield made


SIZE = 32 * 1024**2
HEAD = f"CALL {LOGIN} HTTP/1.1\r\nHost: x\r\nCInP-Version: 0.9\r\nContent-Type: application/json\r\n".encode()
SLOW: dict[str, tuple[bytes, bytes]] = {
    "silence": (b"", b""),
    "half a head": (HEAD, b""),
    "a dripping head": (HEAD, b"X"),
    "half a body": (HEAD + b"Content-Length: 8000\r\n\r\n", b""),
    "a dripping body": (HEAD + b"Content-Length: 8000\r\n\r\n", b"["),
    "a dripping body without a length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n[\r\n"),
    "a body that nobody waits for": (HEAD + b"Content-Length: 9000\r\n\r\n", b"["),
    "a body behind the last answer": (
        b"POST /api/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9000\r\n\r\n",
        b"[",
    ),
    "nothing after an answer": (b"OPTIONS /api/v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b""),
}


def test_slow_strangers_are_hung_up_on(hasty: World) -> None:
    def ends(slow: tuple[bytes, bytes]) -> bool:
        begun, drip = slow
        with connect(hasty) as connection:
            connection.sendall(begun)
            connection.settimeout(0.2)
            until = time.monotonic() + 60
            ended = select.poll()
            ended.register(connection, 0)
            while time.monotonic() < until:
                try:
                    # The end of what the server sends may come before that of what it takes.
                    if not connection.recv(65536) and (not drip or ended.poll(200)):
                        return True
                except TimeoutError:
                    pass
                except OSError:
                    return True
                try:
                    connection.sendall(drip)
                except OSError:
                    return True
        return False

    with ThreadPoolExecutor() as pool:
        assert dict(zip(SLOW, pool.map(ends, SLOW.values()), strict=True)) == dict.fromkeys(SLOW, True)
    assert hasty.call("GET", "/api/v2/Repo/Mirror:lab:", None, "lab").status == 200


def test_an_answer_is_there_to_read_where_the_client_still_sends_and_the_connection_is_to_be_closed(
    server: World,
) -> None:
    """As nginx does where it passes a body on as it comes; it would answer its client with 502."""
    body = bytes(8 * 1024**2)
    head = f"POST /api/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head.encode())
        assert select.select([connection], [], [], 30)[0]
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 403 ")


def test_slow_readers_are_served_and_those_that_stop_reading_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALLED_S", 5.0)
    with world(tmp_path) as server:
        path = next(path for path in (server.data / "files").glob("*/*"))
        path.write_bytes(bytes(SIZE))
        headers = {"Host": "x", "Connection": "close", **server.auth("lab")}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        began = time.monotonic()
        with connect(server) as slow, connect(server) as idle:
            for connection in (slow, idle):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
                connection.sendall(f"GET /files/conf_1.0.json HTTP/1.1\r\n{head}\r\n".encode())
            received = 0
            while is_held(idle) or time.monotonic() < began + 8:
                assert time.monotonic() < began + 120
                received += len(slow.recv(32 * 1024))
                select.select([], [], [], 0.2)
            assert received + drain(slow) > SIZE
            assert drain(idle) < SIZE


def is_held(connection: socket.socket) -> bool:
    """Whether the other end, which is on this machine, has the connection open; who does not read is not told."""
    ends = [connection.getpeername()[1], connection.getsockname()[1]]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == "01" and [int(end.partition(":")[2], 16) for end in row[1:3]] == ends for row in rows)


def drain(connection: socket.socket) -> int:
    """Read to the end of an answer, or of the connection; gives the number of bytes."""
    connection.settimeout(30)
    received = 0
    with suppress(OSError):
        while part := connection.recv(1024**2):
            received += len(part)
    return received
