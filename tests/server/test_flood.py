"""Strangers can't stall the server: floods of logins, long, nested and slow bodies, while others are answered."""

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_server.api.body_limits import LARGE_BYTES, SMALL_BYTES, STRANGER_BYTES
from packrat_server.api.json_body import DEPTH_LIMIT, VALUES_LIMIT, parse_json
from server.test_several_processes import other_process
from support.world import SECRETS, Answer, World, world

LOGIN = "/api/v2/Auth/User(login)"
CHANGES = "/api/v2/Repo/Mirror:lab:(changes)"
FILES = "/api/v2/Package/PackageFile"
FILTER = {"repo": "/api/v2/Repo/Repo:apt-dev:", "package_list": ["hello"]}
PLAIN = {"CInP-Version": "0.9", "Content-Type": "application/json;charset=utf-8"}
FLOOD = 100
STEADY = 25
"""Callers of a flood that does not end: on slow machines, too, who comes again is drawn within some tries."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A process of its own: it shares no thread and no lock with those who ask."""
    with world(tmp_path_factory.mktemp("world")) as made, other_process(made) as other:
        for name in ("root", "lab"):
            other.auth(name)
        yield other


def log_in(server: World, name: str, secret: str) -> Answer:
    return server.ask("CALL", LOGIN, PLAIN, json.dumps({"username": name, "password": secret}).encode())


def log_in_as_agents_do(server: World, name: str, secret: str) -> Answer:
    """Again after a 429, when it says."""
    until = time.monotonic() + 120
    while (answer := log_in(server, name, secret)).status == 429 and time.monotonic() < until:
        threading.Event().wait(int(answer.headers["Retry-After"]))
    return answer


@contextmanager
def flood(work: Callable[[int], Any], *, ends: bool) -> Iterator[list[Future[list[Any]]]]:
    """Do the work FLOOD times at once; without an end: STEADY times, again and again while the context lasts."""
    callers = FLOOD if ends else STEADY
    stop = threading.Event()
    begun = threading.Barrier(callers + 1)

    def do(number: int) -> list[Any]:
        begun.wait()
        results = [work(number)]
        while not ends and not stop.is_set():
            results.append(work(number))
        return results

    with ThreadPoolExecutor(callers) as pool:
        futures = [pool.submit(do, number) for number in range(callers)]
        begun.wait()
        try:
            yield futures
        finally:
            stop.set()


def assert_others_are_answered(server: World) -> None:
    assert server.call("GET", f"{FILES}:1:").status == 200
    asked = server.call("CALL", CHANGES, {"position": None, "timeout": 0}, "lab")
    assert (asked.status, asked.value["changes"]) == (200, {})
    assert server.call("LIST", FILES, FILTER, "lab", Filter="repo").status == 200


@pytest.mark.parametrize("name", ["root", "stranger{}"])
def test_callers_with_a_session_are_answered_during_a_flood_of_logins(server: World, name: str) -> None:
    with flood(lambda number: log_in(server, name.format(number), f"wrong {number}"), ends=True) as logins:
        for _ in range(3):
            assert_others_are_answered(server)
    answers = [answer for login in logins for answer in login.result()]
    assert {answer.status for answer in answers} <= {400, 429}
    for answer in answers:
        if answer.status == 429:
            assert int(answer.headers["Retry-After"]) >= 1
            assert "try again in" in answer.value["message"]


def test_a_name_that_is_not_under_attack_gets_in(server: World) -> None:
    with flood(lambda number: log_in(server, "root", f"wrong {number}"), ends=False) as logins:
        assert log_in_as_agents_do(server, "lab", SECRETS["lab"]).status == 200
        assert not any(login.done() for login in logins)


@pytest.mark.parametrize("name", ["prod", "stranger{}"])
def test_a_caller_that_comes_again_after_a_429_gets_in_during_a_flood(server: World, name: str) -> None:
    with flood(lambda number: log_in(server, name.format(number), "wrong"), ends=False) as logins:
        assert log_in_as_agents_do(server, "prod", SECRETS["prod"]).status == 200
        assert not any(login.done() for login in logins)
        assert_others_are_answered(server)


def test_logins_whose_callers_hang_up_leave_the_queue_usable(server: World) -> None:
    body = json.dumps({"username": "root", "password": "wrong"}).encode()
    head = f"CALL {LOGIN} HTTP/1.1\r\nHost: x\r\nCInP-Version: 0.9\r\nContent-Type: application/json\r\n"
    for _ in range(3 * FLOOD):
        with connected(server) as gone:
            gone.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    for name in ("lab", "root"):
        assert log_in_as_agents_do(server, name, SECRETS[name]).status == 200


def connected(server: World) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b",".join([b"[]"] * 2_700_000) + b"]", id="flat"),
        pytest.param(b"[" * 4_000_000 + b"]" * 4_000_000, id="deep"),
        pytest.param(b'{"username": "' + b"x" * 8_000_000 + b'"}', id="text"),
    ],
)
def test_long_bodies_of_strangers_are_refused(server: World, body: bytes) -> None:
    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(server.ask, "CALL", LOGIN, PLAIN, body) for _ in range(20)]
        assert_others_are_answered(server)
        for answer in (future.result() for future in sent):
            assert answer.status == 413
            assert f"at most {STRANGER_BYTES} bytes" in answer.value["message"]


def padded(length: int, value: dict[str, Any]) -> bytes:
    """A JSON text of that length."""
    return json.dumps(value).encode().ljust(length)


SMALL_CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "login": ("CALL", LOGIN, {"username": "root", "password": "wrong"}),
    "whoami": ("CALL", "/api/v2/Auth/User(whoami)", {}),
    "poll": ("CALL", "/api/v2/Repo/Repo:nowhere:(poll)", {"timeout": 0}),
    "changes": ("CALL", CHANGES, {"position": None, "timeout": 0}),
    "heartbeat": ("CALL", "/api/v2/Repo/Mirror:lab:(heartbeat)", {}),
    "get": ("GET", f"{FILES}:1:", {}),
    "list": ("LIST", "/api/v2/Repo/Repo", {}),
    "tag": ("CALL", f"{FILES}:7:(tag)", {}),
    "create": ("CREATE", "/api/v2/Package/Package", {}),
    "nowhere": ("CALL", "/nowhere", {}),
}


@pytest.mark.parametrize("call", SMALL_CALLS)
@pytest.mark.parametrize("who", [None, "lab", "root"])
def test_a_small_call_has_a_small_body(server: World, call: str, who: str | None) -> None:
    verb, target, value = SMALL_CALLS[call]
    headers = {**PLAIN, **server.auth(who)}
    limit = STRANGER_BYTES if who is None else SMALL_BYTES
    assert server.ask(verb, target, headers, padded(limit, value)).status != 413
    assert server.ask(verb, target, headers, padded(limit + 1, value)).status == 413


def test_only_who_may_make_a_large_call_may_send_a_large_body(server: World) -> None:
    def status(verb: str, target: str, who: str | None, length: int) -> int:
        headers = {**PLAIN, "Filter": "repo", **server.auth(who)}
        return server.ask(verb, target, headers, padded(length, FILTER)).status

    for who in ("lab", "root"):
        assert status("LIST", FILES, who, LARGE_BYTES) == 200
        assert status("LIST", FILES, who, LARGE_BYTES + 1) == 413
    assert status("LIST", FILES, None, STRANGER_BYTES + 1) == 413
    assert status("CALL", f"{FILES}(create)", "root", LARGE_BYTES) == 400
    assert status("CALL", f"{FILES}(create)", "lab", SMALL_BYTES + 1) == 413
    # An agent whose session has ended must hear that, to log in again.
    stale = {**PLAIN, "Filter": "repo", "Auth-Id": "lab", "Auth-Token": "x" * 32}
    assert server.ask("LIST", FILES, stale, padded(SMALL_BYTES + 1, FILTER)).status == 401


def test_a_body_whose_length_nobody_told_ends_at_the_limit(server: World) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    connection.putrequest("CALL", LOGIN)
    for name, value in {**PLAIN, "Transfer-Encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    # The server may have answered and hung up before all is sent.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(2):
            connection.send(chunk)
        connection.send(b"1\r\n \r\n")
    answer = connection.getresponse()
    assert answer.status == 413
    # It would never end; so the server hangs up.
    assert answer.getheader("Connection") == "close"
    connection.close()


def test_slow_bodies_of_strangers_delay_nobody(server: World) -> None:
    with ExitStack() as stack:
        for _ in range(FLOOD):
            slow = stack.enter_context(connected(server))
            slow.sendall(f"CALL {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Length: 8192\r\n\r\n[[[[".encode())
        assert_others_are_answered(server)
        assert log_in_as_agents_do(server, "lab", SECRETS["lab"]).status == 200


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('{"repo": ' + "[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT + "}", f"more than {DEPTH_LIMIT} nested arrays"),
        ('{"repo": [' + "[]," * VALUES_LIMIT + "0]}", f"more than {VALUES_LIMIT} values"),
        ('{"repo": [' + "1," * VALUES_LIMIT + "0]}", f"more than {VALUES_LIMIT} values"),
        ("[" * 4_000_000, f"more than {DEPTH_LIMIT} nested arrays"),
        ('"" ' * 2_000_000 + "[" * 30, f"more than {VALUES_LIMIT} values"),
    ],
)
def test_json_with_too_much_in_it_is_refused_from_everybody(server: World, value: str, told: str) -> None:
    headers = {**PLAIN, "Filter": "repo", **server.auth("root")}
    answer = server.ask("LIST", FILES, headers, value.encode())
    assert answer.status == 400
    assert re.fullmatch(f'Error Parsing JSON Request data: "{told}.*"', answer.value["message"])


def test_a_filter_may_name_as_many_packages_as_ever(server: World) -> None:
    names = [f"package-{number}" for number in range(VALUES_LIMIT - 10)]
    answer = server.call("LIST", FILES, {**FILTER, "package_list": [*names, "hello"]}, "lab", Filter="repo")
    assert (answer.status, len(answer.value)) == (200, 1)


def test_json_may_hold_as_much_as_its_limits_say_and_no_more() -> None:
    deepest = "[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT
    # The list counts, too.
    largest = "[" + "1," * (VALUES_LIMIT - 1) + "1]"
    assert json.dumps(parse_json(deepest.encode())) == deepest
    assert len(parse_json(largest.encode())) == VALUES_LIMIT
    with pytest.raises(ValueError, match=f"more than {DEPTH_LIMIT} nested"):
        parse_json(f"[{deepest}]".encode())
    with pytest.raises(ValueError, match=f"more than {VALUES_LIMIT} values"):
        parse_json(f"[1,{largest[1:]}".encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}",:\\ax\u2222', max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}",\\', max_size=5), inner, max_size=4),
)


@given(JSON, st.sampled_from(["utf-8", "utf-16", "utf-32-le"]))
def test_all_other_json_is_parsed_as_ever(value: Any, encoding: str) -> None:
    text = json.dumps([value, "[" * (DEPTH_LIMIT + 1)], ensure_ascii=False)
    assert parse_json(text.encode(encoding)) == [value, "[" * (DEPTH_LIMIT + 1)]


@given(JSON, st.integers(0, 3), st.sampled_from(["utf-8", "utf-16", "utf-32-le"]))
def test_no_string_hides_what_is_too_deep(value: Any, more: int, encoding: str) -> None:
    inner = json.dumps(value, ensure_ascii=False)
    depth = DEPTH_LIMIT + 1 + more
    with pytest.raises(ValueError, match="nested arrays and objects"):
        parse_json(f"[{inner},{'[' * depth}{']' * depth}]".encode(encoding))


@pytest.mark.parametrize("text", ["", "[", '"', '"\\', "[" * 30 + '"\\"', "]" * 30, "{]" * 30, "nonsense", '["a" "b"]'])
def test_invalid_json_is_refused_by_the_parser(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        parse_json(text.encode())
    assert isinstance(told.value, json.JSONDecodeError) or "nested arrays and objects" in str(told.value)
