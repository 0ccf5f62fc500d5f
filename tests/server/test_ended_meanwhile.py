"""Who loses rights while a request arrives, or waits for its turn, changes nothing any more with that request."""

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, delete, func, select

from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import events, journal, mirror_reports, mirrors, orphans, packages, sessions, uploads
from support.world import SECRETS, World, world

FILES = "/api/v2/Package/PackageFile"
CALLS = {
    f"CALL {FILES}:7:(tag)": {"tag": "/api/v2/Attrib/Tag:dev:"},
    f"CALL {FILES}:3:(untag)": {"tag": "/api/v2/Attrib/Tag:dev:"},
    f"CALL {FILES}:2:(fail)": {},
    f"CALL {FILES}:2:(deprocate)": {},
    f"DELETE {FILES}:1:": {"reason": "spite"},
    "CREATE /api/v2/Package/Package": {"name": "backdoor"},
    "UPDATE /api/v2/Package/Package:hello:": {"failed_count": 0},
    "POST /api/upload": {},
    "CALL /api/v2/Repo/Mirror:lab:(heartbeat)": {},
    "CALL /api/v2/Repo/Mirror:lab:(report)": {"published": []},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


@pytest.fixture
def engine(server: World) -> Iterator[Engine]:
    opened = open_database(server.data)
    yield opened
    opened.dispose()


@contextmanager
def begun(server: World, line: str, body: bytes, who: str) -> Iterator[socket.socket]:
    """Send a request without its body; the server knows who calls."""
    verb, target = line.split()
    kind = "application/octet-stream" if verb == "POST" else "application/json"
    headers = {"Host": "server", "CInP-Version": "0.9", "Expect": "100-continue", **server.auth(who)}
    headers |= {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"{verb} {target} HTTP/1.1\r\n{head}\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        yield connection


def answer_to(connection: socket.socket) -> bytes:
    """The status line and all that follows."""
    with connection.makefile("rb") as answer:
        return answer.read()


def end_sessions(engine: Engine, who: str) -> None:
    if who == "lab":
        # The psk that follows is the first one again: other worlds, and the next test, log in with it.
        for psk in ("another", SECRETS[who]):
            admin.set_mirror(engine, who, psk=psk)
    else:
        admin.set_user(engine, who, Role.READER)


def read_all(engine: Engine) -> list[Any]:
    """What the calls would change, and the history of it."""
    with reading(engine) as connection:
        newest = [connection.execute(select(func.max(table.c.id))).scalar() for table in (events, journal)]
        counts = [connection.execute(select(func.count()).select_from(table)).scalar() for table in (uploads, packages)]
        reports = connection.execute(select(mirror_reports.c.mirror, mirror_reports.c.repo)).all()
        return [newest, counts, reports, connection.execute(select(mirrors.c.name, mirrors.c.last_heartbeat)).all()]


@pytest.mark.parametrize("line", CALLS)
def test_a_body_that_arrives_after_the_session_has_ended_changes_nothing(
    server: World, engine: Engine, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = "lab" if "Mirror" in line else "caller"
    if who != "lab":
        monkeypatch.setitem(SECRETS, who, "caller_pw")
        admin.set_user(engine, who, Role.ADMIN, SECRETS[who])
    server.tokens.pop(who, None)
    body = json.dumps(CALLS[line]).encode()
    with begun(server, line, body, who) as connection:
        end_sessions(engine, who)
        before = read_all(engine)
        connection.sendall(body)
        told = answer_to(connection)
    assert told.startswith(b"HTTP/1.1 401 "), told
    assert told.endswith(b'{"message": "Invalid Session"}')
    assert read_all(engine) == before
    if line == "POST /api/upload":
        # What was stored goes in a day.
        with reading(engine) as connection:
            assert connection.execute(select(orphans.c.sha256)).scalars().all() == [hashlib.sha256(body).hexdigest()]


def test_a_change_that_waits_for_its_turn_is_not_made_once_the_session_has_ended(
    server: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECRETS, "caller", "caller_pw")
    admin.set_user(engine, "caller", Role.ADMIN, SECRETS["caller"])
    server.tokens.pop("caller", None)
    server.auth("caller")
    line = f"CALL {FILES}:7:(tag)"
    body = json.dumps(CALLS[line]).encode()
    with begun(server, line, body, "caller") as request:
        with writing(engine) as connection:
            request.sendall(body)
            # What `user set` does in a transaction of its own, for which this one would have to end.
            connection.execute(delete(sessions).where(sessions.c.name == "caller"))
        assert answer_to(request).startswith(b"HTTP/1.1 401 ")
    assert server.call("GET", f"{FILES}:7:").value["tags"] == []
