"""`changes` with `stream`: one answer that stays open tells of each change, and ends when it must."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from packrat_server import admin
from packrat_server.api import change_stream
from packrat_server.api.addresses import TrustedProxies
from packrat_server.api.change_batch import ChangeBatch
from packrat_server.api.change_stream import Listener
from packrat_server.api.serve_options import ServeOptions
from packrat_server.serving.running import running
from packrat_server.store.database import open_database, writing
from packrat_server.store.journal import Entry
from packrat_server.store.tables import sessions
from support.world import World, world

MIRROR = "/api/v2/Repo/Mirror:lab:"
CHANGES = f"{MIRROR}(changes)"
APT = "/api/v2/Repo/Repo:apt-dev:"
JSONL = "application/jsonl"


@pytest.fixture
def server(tmp_path: Path, new_database: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(change_stream, "BEAT_S", 0.2)
    options = ServeOptions(TrustedProxies(), tmp_path / "access.log")
    with world(tmp_path, new_database(), options) as made:
        yield made


class Stream:
    """An answer that stays open."""

    def __init__(self, server: World, position: str, timeout_s: int = 200, **more: Any) -> None:
        self.connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
        asked = {"position": position, "timeout": timeout_s, "stream": True, **more}
        headers = {"CInP-Version": "0.9", "Content-Type": "application/json", **server.auth("lab")}
        self.connection.request("CALL", CHANGES, json.dumps(asked), headers)
        self.response = self.connection.getresponse()
        self.beats = 0

    def next(self) -> Any:
        """The next value; None at the end."""
        while (line := self.response.readline()) == b"\n":
            self.beats += 1
        return json.loads(line) if line else None

    def count_beats(self, count: int) -> None:
        """Wait for empty lines."""
        for _ in range(count):
            assert self.response.readline() == b"\n"


def tag(server: World, number: int, action: str = "tag") -> None:
    uri = f"/api/v2/Package/PackageFile:{number}:({action})"
    answer = server.call("CALL", uri, {"tag": "/api/v2/Attrib/Tag:dev:"})
    assert answer.status == 200, answer.data


def ask(server: World, position: str | None, **more: Any) -> Any:
    return server.call("CALL", CHANGES, {"position": position, "timeout": 0, **more}, "lab").value


def change(server: World, work: Callable[[Any], object]) -> None:
    engine = open_database(server.data)
    work(engine)
    engine.dispose()


def test_each_change_is_a_line_as_a_question_of_its_own_would_tell_it(server: World) -> None:
    position = ask(server, None)["position"]
    stream = Stream(server, position, records=True)
    assert (stream.response.status, stream.response.headers["Content-Type"]) == (200, JSONL)
    assert stream.response.headers["X-Accel-Buffering"] == "no"
    assert stream.next() == {"position": position, "changes": {}, "records": {}}
    for action in ("tag", "untag"):
        tag(server, 7, action)
        told = stream.next()
        assert told["changes"] == {APT: ["p7"]}
        assert told == ask(server, position, records=True)
        position = told["position"]


def test_each_listener_gets_what_it_asked_for(server: World) -> None:
    position = ask(server, None)["position"]
    wishes: list[dict[str, bool]] = [{}, {"records": True}, {"records": True, "touched": True}]
    streams = [Stream(server, position, **wish) for wish in wishes]
    for stream in streams:
        stream.next()
    tag(server, 7)
    told = [stream.next() for stream in streams]
    assert told == [ask(server, position, **wish) for wish in wishes]
    assert [len(answer["records"][APT]["p7"]) for answer in told[1:]] == [2, 3]
    tag(server, 7, "untag")


def test_the_first_line_tells_what_changed_before(server: World) -> None:
    position = ask(server, None)["position"]
    tag(server, 7)
    assert Stream(server, position).next() == ask(server, position)
    assert Stream(server, "1-nonsense").next()["changes"][MIRROR] is None


def test_a_change_of_the_mirror_is_reported_and_its_new_repositories_count(server: World) -> None:
    stream = Stream(server, ask(server, None)["position"])
    stream.next()
    change(server, lambda engine: admin.set_mirror(engine, "lab", ["yum-dev"]))
    assert stream.next()["changes"] == {MIRROR: None}
    tag(server, 7)
    # It does not have that repository now.
    stream.count_beats(2)
    change(server, lambda engine: admin.set_mirror(engine, "lab", ["apt-dev"]))
    assert MIRROR in stream.next()["changes"]
    tag(server, 7, "untag")
    assert stream.next()["changes"] == {APT: ["p7"]}


def test_empty_lines_come_while_nothing_changes(server: World) -> None:
    stream = Stream(server, ask(server, None)["position"])
    stream.next()
    stream.count_beats(3)
    tag(server, 7)
    assert stream.next()["changes"] == {APT: ["p7"]}


def end_session(engine: Any) -> None:
    with writing(engine) as connection:
        connection.execute(delete(sessions).where(sessions.c.name == "lab"))


@pytest.mark.parametrize(
    "end",
    [
        end_session,
        lambda engine: admin.save_mirror(engine, "lab", ["apt-dev"], psk="another"),
        lambda engine: admin.remove_mirror(engine, "lab"),
    ],
    ids=["session ended", "psk changed", "mirror removed"],
)
def test_a_caller_that_may_not_hear_any_more_hears_nothing_more(server: World, end: Callable[[Any], object]) -> None:
    position = ask(server, None)["position"]
    stream = Stream(server, position)
    stream.next()
    change(server, end)
    assert stream.next() is None
    assert server.call("CALL", CHANGES, {"position": position, "timeout": 0}, "lab").status == 401


def test_a_change_is_not_told_to_a_session_that_has_ended(server: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "beat", lambda _: None)
    engine = open_database(server.data)
    stream = Stream(server, ask(server, None)["position"])
    with engine.connect() as connection:
        all_hashes = frozenset(connection.execute(sessions.select()).scalars().all())
    engine.dispose()
    monkeypatch.setattr(change_stream, "read_live_sessions", lambda *_: all_hashes)
    stream.next()
    change(server, end_session)
    tag(server, 7)
    assert stream.next() is None


def test_the_answer_ends_with_its_time_and_the_connection_goes_on(server: World) -> None:
    position = ask(server, None)["position"]
    stream = Stream(server, position, timeout_s=1)
    stream.next()
    assert stream.next() is None
    stream.connection.request("DESCRIBE", "/api/v2/", headers={"CInP-Version": "0.9"})
    assert stream.connection.getresponse().status == 200


def test_the_log_has_a_line_with_all_bytes_once_the_answer_ends(server: World) -> None:
    stream = Stream(server, ask(server, None)["position"], timeout_s=1)
    first = stream.response.readline()
    assert stream.next() is None
    log, until = server.data.parent / "access.log", time.monotonic() + 30
    while not (lines := [line for line in log.read_text().splitlines() if "Mirror:lab:(changes)" in line][1:]):
        assert time.monotonic() < until
    status, sent = lines[0].split('" ')[1].split(" ")[:2]
    assert status == "200"
    assert int(sent) >= len(first) + stream.beats


def test_a_client_that_cannot_read_a_stream_gets_one_answer(server: World) -> None:
    position = ask(server, None)["position"]
    tag(server, 7)
    asked = {"position": position, "timeout": 200, "stream": True}
    plain = {"position": position, "timeout": 0}
    expected = server.call("CALL", CHANGES, plain, "lab").value
    # Without a position, without time, or as one of several objects.
    assert ask(server, None, stream=True)["changes"] == {}
    assert server.call("CALL", CHANGES, {**plain, "stream": True}, "lab").value == expected
    assert server.call("CALL", CHANGES, asked, "lab", Multi_Object="true").value == {MIRROR: expected}
    fields = {"Content-Type": "application/json", "CInP-Version": "0.9", **server.auth("lab")}
    assert json.loads(ask_in_http_1_0(server, fields, json.dumps(asked).encode())) == expected


def ask_in_http_1_0(server: World, fields: Mapping[str, str], body: bytes) -> bytes:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = "".join(f"{name}: {text}\r\n" for name, text in {**fields, "Content-Length": len(body)}.items())
        connection.sendall(f"CALL {CHANGES} HTTP/1.0\r\n{head}\r\n".encode() + body)
        with connection.makefile("rb") as answer:
            return answer.read().partition(b"\r\n\r\n")[2]


def test_a_server_that_stops_ends_the_answers(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        pass
    with running(made.data) as url:
        made.url = url
        stream = Stream(made, ask(made, None)["position"])
        stream.next()
        ended: list[Any] = []
        reading = threading.Thread(target=lambda: ended.append(stream.next()))
        reading.start()
    reading.join(30)
    assert ended == [None]


def listener(write: Callable[[bytes], bool]) -> Listener:
    return Listener(frozenset({"one"}), "lab", 1, None, position="1-a", write=write)


def test_an_answer_that_is_not_read_ends_and_nothing_is_written_behind_the_end() -> None:
    batch = ChangeBatch(1, (Entry(2, "b", "one", "hello", None),), {}, frozenset())

    async def work() -> None:
        written: list[bytes] = []
        slow = listener(lambda _: False)
        slow.wake(batch)
        assert slow.is_over

        def write(part: bytes) -> bool:
            written.append(part)
            return True

        quick = listener(write)
        quick.wake(batch)
        assert (quick.after, quick.position) == (2, "2-b")
        assert not quick.woken.done()
        quick.end()
        quick.wake(batch)
        quick.beat()
        assert written == [batch.line(quick)]

    asyncio.run(work())
