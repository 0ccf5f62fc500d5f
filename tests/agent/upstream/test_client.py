"""The client of the packrat server: every answer is understood or told as a clean error, however odd it is."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import packrat_core.cinp.session
from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.responses import NotFound, SessionEnded
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import PackratError, ServerBroken, ServerRefused, ServerUnavailable
from support.replay import Answerer, Recorded, Request, answer_of, recorded, replaying

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())
FILES = "/api/v2/Package/PackageFile"
REPOS = "/api/v2/Repo/Repo"
DISTRO_VERSIONS = "/api/v2/Attrib/DistroVersion"
MIRROR = "/api/v2/Repo/Mirror:lab:"
TIMEOUTS = Timeouts(5, 5, 10)

ANSWERS = recorded()

Way = Callable[[CinpClient], Awaitable[Any]]


async def _download(client: CinpClient, offset: int) -> bytes:
    async with client.open_file("/files/x.deb", offset) as download:
        return b"".join([chunk async for chunk in download.chunks()])


async def _download_of_a_mirror(client: CinpClient) -> bytes:
    async with _packrat(client).open_file("/files/x.deb", 0) as download:
        return b"".join([chunk async for chunk in download.chunks()])


def _packrat(client: CinpClient, psk: str | None = "psk") -> Packrat:
    return Packrat(client, "lab", psk)


WAYS: dict[str, Way] = {
    "describe": lambda client: client.describe("/api/v2/"),
    "get": lambda client: client.get(MIRROR),
    "get_many": lambda client: client.get_many(FILES, ["1", "2", "3"]),
    "list_uris": lambda client: client.list_uris(FILES, "repo", {"repo": "x", "package_list": None}),
    "call": lambda client: client.call(f"{MIRROR}(heartbeat)", {}),
    "create": lambda client: client.create(FILES, {"name": "x"}),
    "login": lambda client: client.login("/api/v2/Auth/User(login)", "lab", "psk"),
    "download": lambda client: _download(client, 0),
    "download, the rest": lambda client: _download(client, 10),
    "open": lambda client: _packrat(client).open(),
    "view": lambda client: _packrat(client).view(),
    "view, anonymous": lambda client: _packrat(client, None).view(),
    "wanted": lambda client: _packrat(client).wanted(REPO, None, {}),
    "wanted of some": lambda client: _packrat(client).wanted(REPO, ["hello"], {}),
    "changes": lambda client: _packrat(client).changes(None, 1),
    "poll": lambda client: _packrat(client).poll(REPO, 1),
    "heartbeat": lambda client: _packrat(client).heartbeat(),
    "file": _download_of_a_mirror,
}


@dataclass(slots=True)
class Line:
    """A client and a server with a wire between them."""

    runner: asyncio.Runner

    def ask(self, way: Way, answer: Answerer) -> Any:
        async def go() -> Any:
            async with replaying(answer) as origin, CinpClient(origin, timeouts=TIMEOUTS) as client:
                return await way(client)

        return self.runner.run(go())

    def outcome(self, way: Way, answer: Answerer) -> Any:
        """What came of it, a PackratError too; any other exception is a fault."""
        try:
            return self.ask(way, answer)
        except PackratError as error:
            assert_told(error)
            return error


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with asyncio.Runner() as runner:
        yield Line(runner)


def always(answer: bytes) -> Answerer:
    """The same answer to everything."""
    return lambda request: answer


def assert_told(error: PackratError) -> None:
    """An error can be shown on any terminal and is not endless."""
    text = str(error)
    assert text
    assert text.isprintable()
    assert len(text) < 1500


def natural(answer: Recorded) -> Way | None:
    """Ask as this was asked when it was recorded."""
    match answer.verb:
        case "DESCRIBE":
            return lambda client: client.describe(answer.target)
        case "GET" if answer.target.startswith("/files"):
            return WAYS["download"]
        case "GET" if answer.multi:
            model, ids = answer.target.split(":", 1)
            return lambda client: client.get_many(model, ids.strip(":").split(":"))
        case "GET":
            return lambda client: client.get(answer.target)
        case "LIST":
            return lambda client: client.list_uris(answer.target, None, {})
        case "CALL":
            return lambda client: client.call(answer.target, {})
        case "CREATE":
            return lambda client: client.create(answer.target, {})
    return None


def _named(answers: list[Recorded]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("answer", answers, ids=lambda answer: answer.name)


@_named([one for one in ANSWERS if 200 <= one.status < 300 and natural(one) and not one.target.startswith("/files")])
def test_a_recorded_answer_is_understood(line: Line, answer: Recorded) -> None:
    way = natural(answer)
    assert way is not None
    found = line.outcome(way, lambda request: answer.raw)
    if answer.verb == "LIST" and isinstance(found, PackratError):
        total = int(answer.raw.split(b"\r\nTotal: ")[1].split(b"\r\n")[0])
        assert total > len(answer.value), "only a page that is not whole may be refused"
        assert "never gave as many entries" in str(found)
    elif answer.verb == "GET" and not isinstance(answer.value, dict):
        assert isinstance(found, ServerBroken)
    elif answer.verb == "GET" and answer.multi:
        # An answer that was recorded in part only has a note in it.
        assert found == {uri: one for uri, one in answer.value.items() if isinstance(one, dict)}
    else:
        assert found == (answer.value if answer.value != "" else None)


@_named([one for one in ANSWERS if one.status >= 300 and natural(one)])
def test_a_recorded_error_is_told_in_the_servers_words_as_what_it_is(line: Line, answer: Recorded) -> None:
    way = natural(answer)
    assert way is not None
    found = line.outcome(way, lambda request: answer.raw)
    if answer.verb == "GET" and answer.multi and answer.status == 404:
        assert isinstance(found, dict)
        return
    kinds = {401: SessionEnded, 404: NotFound, 304: ServerBroken, 500: ServerUnavailable}
    assert type(found) is kinds.get(answer.status, ServerRefused)
    assert f" {answer.status}" in str(found)
    if isinstance(answer.value, dict) and "message" in answer.value:
        assert " ".join(answer.value["message"].split())[:80] in " ".join(str(found).split())
    elif isinstance(answer.value, str) and answer.value.startswith("<"):
        assert "<" not in str(found)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_any_recorded_answer_to_any_question_is_understood_or_a_clean_error(line: Line, way: str) -> None:
    async def ask_all() -> None:
        current = b""
        async with (
            replaying(lambda request: current) as origin,
            CinpClient(origin, timeouts=TIMEOUTS) as client,
        ):
            for current in {answer.raw: None for answer in ANSWERS}:  # noqa: B007 the server sends it
                try:
                    await WAYS[way](client)
                except PackratError as error:
                    assert_told(error)

    line.runner.run(ask_all())


_ODD = st.sampled_from(
    [
        *(b"0", b"-1", b"99999999999999999999", b"null", b"true", b"[]", b"{}", b'""', b'"', b"[" * 5000, b"\xff"),
        *(b"\\ud800", b"\\u0000", b"\\u001b[2J", b"..", b"/", b"\r\n", b"\r\n\r\n", b": ", b"NaN", b"1" * 5000),
        *(b"Total: 5\r\n", b"Location: /x\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n"),
        *(b"Cinp-Version: 2.0\r\n", b"Cinp-Version: 9\r\n", b"Set-Cookie: =;;\r\n", b"Content-Range: bytes 10-\r\n"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A recorded answer with bytes changed, left out, put in, doubled, or with another end."""
    raw = bytearray(draw(st.sampled_from(ANSWERS)).raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        match draw(st.sampled_from(["flip", "cut", "insert", "odd", "status", "remove", "join"])):
            case "flip":
                raw[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del raw[at:]
            case "insert":
                raw[at:at] = draw(st.binary(max_size=8))
            case "odd":
                raw[at : at + draw(st.integers(0, 12))] = draw(_ODD)
            case "status":
                raw[9:12] = str(draw(st.integers(99, 600))).encode()
            case "remove":
                del raw[at : at + draw(st.integers(1, 60))]
            case "join":
                raw[at:] = draw(st.sampled_from(ANSWERS)).raw[at:]
    return bytes(raw)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutated(), min_size=1, max_size=4), st.sampled_from(sorted(WAYS)))
def test_any_changed_answer_is_understood_or_a_clean_error(line: Line, answers: list[bytes], way: str) -> None:
    left = list(answers)
    found = line.outcome(WAYS[way], lambda request: left.pop(0) if len(left) > 1 else left[0])
    if not isinstance(found, bytes | PackratError):
        repr(found).encode()


_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["x", "apt"])),
        st.sampled_from([f"{FILES}:1:", f"{REPOS}:apt-dev:", f"{DISTRO_VERSIONS}:bookworm:", "\ud800", "/"]),
        st.sampled_from(["/files/x.deb", "a" * 64, "../x", "\0", "x" * 4000]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=6,
)


_RECORDS: dict[str, Callable[[str], dict[str, Any]]] = {
    MIRROR: lambda one: {"name": "lab", "description": "d", "repo_list": [f"{REPOS}:apt-dev:", f"{REPOS}:b:"]},
    REPOS: lambda one: {
        "name": one,
        "description": "d",
        "filesystem_dir": one,
        "manager_type": "apt",
        "distroversion_list": [f"{DISTRO_VERSIONS}:bookworm:"],
        "show_only_latest": True,
    },
    DISTRO_VERSIONS: lambda one: {"name": one, "distro": "debian", "version": "bookworm", "file_type": "deb"},
    FILES: lambda one: {
        "package": "/api/v2/Package/Package:x:",
        "distroversion": f"{DISTRO_VERSIONS}:bookworm:",
        "version": "1",
        "type": "deb",
        "arch": "all",
        "file": f"/files/x_{one}.deb",
        "sha256": "a" * 64,
    },
    "changes": lambda one: {"position": "7", "changes": {f"{REPOS}:apt-dev:": ["hello"], MIRROR: None}},
}
_fields = st.sampled_from([(model, key) for model, make in _RECORDS.items() for key in make("x")])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(_fields, _values, max_size=3),
    st.lists(st.one_of(st.text(max_size=30), st.sampled_from([f"{FILES}:\ud800:", f"{FILES}:1:\x1b"])), max_size=2),
)
def test_any_values_in_the_records_are_understood_or_rejected_by_name(
    line: Line, odd: dict[tuple[str, str], Any], odd_uris: list[str]
) -> None:
    """Records of the right shape with anything in their fields: what gets through can be stored and shown."""
    listed = [f"{FILES}:1:", f"{FILES}:2:", *odd_uris]

    def record(model: str, one: str = "") -> dict[str, Any]:
        return _RECORDS[model](one) | {key: value for (of, key), value in odd.items() if of == model}

    def answer(request: Request) -> bytes:
        if request.verb == "LIST":
            return answer_of(listed, Total=len(listed))
        if request.verb == "CALL":
            return answer_of(record("changes"))
        if request.target == MIRROR:
            return answer_of(record(MIRROR))
        model, ids = request.target.split(":", 1)
        return answer_of({f"{model}:{one}:": record(model, one) for one in ids.strip(":").split(":")})

    for way in ("view, anonymous", "wanted", "changes"):
        found = line.outcome(WAYS[way], answer)
        if not isinstance(found, PackratError):
            assert_storable(found)


def assert_storable(value: Any) -> None:
    """All text in it can be written as UTF-8, to a database or a terminal."""
    if isinstance(value, str):
        value.encode()
        assert value.isprintable(), repr(value)
        assert len(value) <= 1000
    elif isinstance(value, dict):
        for key, one in value.items():
            assert_storable(key)
            assert_storable(one)
    elif isinstance(value, list | tuple | frozenset):
        for one in value:
            assert_storable(one)
    elif hasattr(value, "__slots__"):
        for name in set(value.__slots__) - {"uris"}:
            assert_storable(getattr(value, name))


def test_the_list_is_whole_though_its_order_changes_and_it_grows(line: Line) -> None:
    rows = [f"{FILES}:{number}:" for number in range(2500)]
    asked: list[int] = []

    def answer(request: Request) -> bytes:
        asked.append(int(request.headers["count"]))
        assert request.headers["position"] == "0"
        assert request.headers["filter"] == "repo"
        # Each look at the list moves rows to its end and adds some.
        rows.append(f"{FILES}:{len(rows)}:")
        rows.append(rows.pop(0))
        return answer_of(rows[: asked[-1]], Total=len(rows))

    found = line.ask(WAYS["list_uris"], answer)
    assert asked == [1000, 2601]
    assert sorted(found) == sorted(rows)


def test_a_list_that_never_becomes_whole_is_given_up(line: Line) -> None:
    asked = []

    def answer(request: Request) -> bytes:
        asked.append(request)
        return answer_of([f"{FILES}:1:"], Total=2)

    with pytest.raises(ServerBroken, match="never gave as many entries"):
        line.ask(WAYS["list_uris"], answer)
    assert len(asked) == 20


def test_a_row_that_is_listed_twice_counts_once(line: Line) -> None:
    found = line.ask(WAYS["list_uris"], lambda request: answer_of(["a", "b", "a"], Total=3))
    assert found == ["a", "b"]


@pytest.mark.parametrize("total", ["", "-1", "x", "1.0", "500001", "9" * 30, "٣", "1, 1", None])
def test_a_total_that_can_not_be_is_refused(line: Line, total: str | None) -> None:
    answer = answer_of([]) if total is None else answer_of([], Total=total.encode().decode("latin-1"))
    with pytest.raises(ServerBroken, match="at most 500000 can be"):
        line.ask(WAYS["list_uris"], lambda request: answer)


@pytest.mark.parametrize("value", [None, {}, "x", 1, [1], [None], [["x"]], ["a", {}]])
def test_a_list_that_is_none_is_refused(line: Line, value: Any) -> None:
    with pytest.raises(ServerBroken, match="no list of URIs"):
        line.ask(WAYS["list_uris"], lambda request: answer_of(value, Total=1))


@pytest.mark.parametrize("spoken", ["0.9", "1.0", "2.0"])
def test_the_client_speaks_the_version_that_the_server_names(line: Line, spoken: str) -> None:
    heard: list[str] = []

    def answer(request: Request) -> bytes:
        heard.append(request.headers["cinp-version"])
        if heard[-1] != spoken:
            return answer_of({"message": "Invalid CInP Protocol Version"}, 400, cinp=spoken)
        return answer_of({"name": "lab"}, cinp=spoken)

    async def twice(client: CinpClient) -> Any:
        await client.get(MIRROR)
        return await client.get(MIRROR)

    assert line.ask(twice, answer) == {"name": "lab"}
    assert heard == (["0.9", "0.9"] if spoken == "0.9" else ["0.9", spoken, spoken])


def test_a_version_that_the_client_does_not_speak_is_named(line: Line) -> None:
    with pytest.raises(ServerBroken, match=r"the server speaks CInP '3\.0'.*upgrade the older one"):
        line.ask(WAYS["get"], lambda request: answer_of({"message": "x"}, 400, cinp="3.0"))


def test_a_server_that_changes_its_version_with_each_answer_is_given_up(line: Line) -> None:
    others = {"0.9": "1.0", "1.0": "2.0", "2.0": "0.9"}
    with pytest.raises(ServerBroken, match="accepts none of the CInP versions"):
        line.ask(
            WAYS["get"], lambda request: answer_of({"message": "x"}, 400, cinp=others[request.headers["cinp-version"]])
        )


def test_a_400_of_the_version_that_is_spoken_is_the_servers_no(line: Line) -> None:
    for cinp in ("0.9", None):
        answer = answer_of({"message": "Bad thing"}, 400, cinp=cinp)
        with pytest.raises(ServerRefused, match="400, Bad thing"):
            line.ask(WAYS["get"], always(answer))


@pytest.mark.parametrize("api", ["3.0", "1.9", "20", "", None, 2, 2.0])
def test_another_api_is_refused_by_name(line: Line, api: Any) -> None:
    with pytest.raises(ServerBroken, match=r"packrat's API .*, this packrat-agent speaks 2\.x"):
        line.ask(WAYS["open"], lambda request: answer_of({"api-version": api}))


def test_no_request_has_more_than_100_ids_or_a_line_that_a_server_refuses(line: Line) -> None:
    lengths, counts = [], []

    def answer(request: Request) -> bytes:
        ids = request.target.split(":")[1:-1]
        lengths.append(len(f"{request.verb} {request.target} HTTP/1.1"))
        counts.append(len(ids))
        assert request.headers["multi-object"] == "True"
        return answer_of({f"{FILES}:{one}:": {"id": one} for one in ids})

    numbers = [str(number) for number in range(250)]
    found = line.ask(lambda client: client.get_many(FILES, [*numbers, "7", "8"]), answer)
    assert {record["id"] for record in found.values()} == set(numbers)
    assert sorted(counts) == [50, 100, 100]
    lengths.clear()
    names = [f"{number:0>190}" for number in range(60)]
    assert len(line.ask(lambda client: client.get_many(FILES, names), answer)) == 60
    assert max(lengths) <= 4094


@pytest.mark.parametrize("told", [True, False])
def test_ids_that_are_missing_are_left_out_whether_the_server_names_them_or_not(line: Line, told: bool) -> None:
    missing = {"3", "17", "18", "99"}
    asked = []

    def answer(request: Request) -> bytes:
        asked.append(request)
        ids = request.target.split(":")[1:-1]
        gone = [one for one in ids if one in missing]
        if gone:
            body = {"model_path": "packrat.Package.models.PackageFile", "object_id": gone[0]} if told else {"x": "y"}
            return answer_of(body, 404)
        return answer_of({f"{FILES}:{one}:": {} for one in ids})

    found = line.ask(lambda client: client.get_many(FILES, [str(number) for number in range(100)]), answer)
    assert len(found) == 96
    assert not missing & {uri.split(":")[1] for uri in found}
    assert len(asked) < 50


def test_objects_that_nobody_asked_for_are_left_out(line: Line) -> None:
    stuffed = {f"{FILES}:1:": {}, f"{FILES}:4:": {}, f"{REPOS}:1:": {}, f"{FILES}:2:": "x"}
    assert line.ask(WAYS["get_many"], lambda request: answer_of(stuffed)) == {f"{FILES}:1:": {}}


@dataclass(slots=True)
class Sessions:
    """A server that wants a session, and forgets it when told."""

    psk: str = "psk"
    token: str | None = None
    logins: int = 0
    heartbeats: int = 0

    def answer(self, request: Request) -> bytes:
        if "auth-token" in request.headers and request.headers["auth-token"] != self.token:
            return answer_of({"message": "Invalid Session"}, 401)
        if request.target == "/api/v2/Auth/User(login)":
            assert "auth-token" not in request.headers
            self.logins += 1
            if request.body != {"username": "lab", "password": self.psk}:
                return answer_of({"message": "Invalid Login"}, 400)
            self.token = f"token{self.logins}"
            return answer_of(self.token)
        if "auth-token" not in request.headers:
            return answer_of({"message": "Invalid Session"}, 401)
        assert request.headers["auth-id"] == "lab"
        self.heartbeats += 1
        return answer_of()


def test_a_session_that_ended_is_opened_again_once_whoever_notices(line: Line) -> None:
    server = Sessions()

    async def go(client: CinpClient) -> None:
        packrat = _packrat(client)
        await packrat.heartbeat()
        server.token = "forgotten"
        await asyncio.gather(*(packrat.heartbeat() for _ in range(10)))

    line.ask(go, server.answer)
    assert (server.logins, server.heartbeats) == (2, 11)


def test_a_wrong_psk_is_told_and_not_shown(line: Line) -> None:
    server = Sessions(psk="another")
    with pytest.raises(ServerRefused, match="check name and psk") as caught:
        line.ask(WAYS["heartbeat"], server.answer)
    assert "Invalid Login" in str(caught.value)
    assert (server.logins, server.heartbeats) == (1, 0)


def test_a_server_that_takes_the_psk_but_never_the_session_is_not_asked_for_ever(line: Line) -> None:
    asked = []

    def answer(request: Request) -> bytes:
        asked.append(request.target)
        return answer_of("token") if "login" in request.target else answer_of({"message": "Invalid Session"}, 401)

    with pytest.raises(ServerRefused, match="401, Invalid Session"):
        line.ask(WAYS["heartbeat"], answer)
    assert len(asked) == 3


def test_without_a_psk_nobody_logs_in(line: Line) -> None:
    server = Sessions()
    with pytest.raises(ServerRefused, match="set psk in"):
        line.ask(WAYS["view, anonymous"], server.answer)
    assert server.logins == 0


@pytest.mark.parametrize("token", [None, "", 5, ["x"], "a\r\nEvil: 1", "ü", "x" * 501])
def test_a_token_that_is_none_is_refused(line: Line, token: Any) -> None:
    with pytest.raises(ServerBroken, match="no token"):
        line.ask(WAYS["login"], lambda request: answer_of(token))


def test_an_action_without_a_result_answers_with_nothing(line: Line) -> None:
    assert line.ask(WAYS["call"], lambda request: answer_of()) is None
    assert line.ask(WAYS["heartbeat"], lambda request: answer_of()) is None


@pytest.mark.parametrize("raw", [b"<html>Bad</html>", b"\x00\xff", b'{"a": ', b"[" * 10_000, b'"\xff"', b"1" * 10_000])
def test_what_is_no_json_is_told(line: Line, raw: bytes) -> None:
    with pytest.raises(ServerBroken, match=r"no JSON; is http://127\.0\.0\.1:\d+ a packrat server\?"):
        line.ask(WAYS["get"], lambda request: answer_of(raw=raw))


@pytest.mark.parametrize(
    ("status", "raw", "kind", "told"),
    [
        (400, b"<html><h1>Bad Request</h1>", ServerRefused, ": 400"),
        (400, b'{"name": "Already taken", "arch": ["a"]}', ServerRefused, "400, name: Already taken; arch: ['a']"),
        (403, b'{"message": "No \\u001b[31mway\\n"}', ServerRefused, "403, No  [31mway"),
        (404, b"not here", NotFound, "404, not here"),
        (407, b"", ServerUnavailable, "the proxy wants a password"),
        (301, b"", ServerBroken, "redirects are not followed"),
        (429, b"slow down", ServerUnavailable, "429, slow down"),
        (500, b'{"message": 5}', ServerUnavailable, "500, message: 5"),
        (502, b"<html>Bad Gateway", ServerUnavailable, ": 502"),
        (503, b"x" * 100_000, ServerUnavailable, "503, xxx"),
    ],
)
def test_an_error_in_any_form_is_told_as_what_it_is(
    line: Line, status: int, raw: bytes, kind: type[PackratError], told: str
) -> None:
    found = line.outcome(WAYS["get"], lambda request: answer_of(status=status, raw=raw, Location="/elsewhere"))
    assert type(found) is kind
    assert told in str(found)
    assert "<" not in str(found)


@pytest.mark.parametrize("way", ["get", "list_uris", "download", "heartbeat"])
def test_an_answer_that_breaks_off_can_be_tried_again(line: Line, way: str) -> None:
    whole = answer_of([json.dumps("x" * 500)], Total=1)
    for end in (0, 5, 30, len(whole) - 300, len(whole) - 1):
        found = line.outcome(WAYS[way], always(whole[:end]))
        assert isinstance(found, ServerUnavailable)


def test_a_server_that_does_not_listen_can_be_tried_again(line: Line) -> None:
    async def go() -> None:
        async with replaying(lambda request: b"") as origin:
            pass
        async with CinpClient(origin, timeouts=TIMEOUTS) as client:
            await client.get(MIRROR)

    with pytest.raises(ServerUnavailable, match="can't be reached"):
        line.runner.run(go())


def test_a_download_goes_on_where_it_stopped_or_says_where_it_begins(line: Line) -> None:
    heard: list[str | None] = []

    def partial(request: Request) -> bytes:
        heard.append(request.headers.get("range"))
        return answer_of(raw=b"rest", status=206, Content_Range="bytes 10-13/14")

    assert line.ask(WAYS["download, the rest"], partial) == b"rest"
    assert line.ask(WAYS["download"], lambda request: answer_of(raw=b"all of it")) == b"all of it"
    assert line.ask(WAYS["download, the rest"], lambda request: answer_of(status=416)) == b""
    assert heard == ["bytes=10-"]

    async def start(client: CinpClient) -> int:
        async with client.open_file("/files/x.deb", 10) as download:
            return download.start

    assert line.ask(start, lambda request: answer_of(raw=b"all of it, as this server knows no ranges")) == 0
    for wrong in ("bytes 9-13/14", "bytes x-y/z", "lines 10-13/14", "", "bytes -1-3/4", "bytes " + "9" * 30 + "-/"):
        with pytest.raises(ServerBroken):
            line.ask(start, always(answer_of(raw=b"rest", status=206, Content_Range=wrong)))


@pytest.mark.parametrize("path", ["//evil.example.com/x", "http://evil.example.com/x", "", "x", "@evil"])
def test_no_path_leads_to_another_server(line: Line, path: str) -> None:
    with pytest.raises(ServerBroken, match="is not a path on"):
        line.ask(lambda client: client.get(path), lambda request: answer_of({}))


# A busy server


def busy_at_first(answer: bytes, later: bytes, asked: list[float]) -> Answerer:
    """One answer to the first request, another to those after it; `asked` takes the times."""

    def say(_request: Request) -> bytes:
        asked.append(time.monotonic())
        return answer if len(asked) == 1 else later

    return say


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("way", ["get", "login", "heartbeat", "create", "list_uris"])
def test_a_busy_server_is_asked_again_when_it_says(line: Line, status: int, way: str) -> None:
    asked: list[float] = []
    later = answer_of({"": 0}) if way != "list_uris" else answer_of([], Total=0)
    if way in ("login", "heartbeat"):
        later = answer_of("token")
    with structlog.testing.capture_logs() as logged:
        line.ask(WAYS[way], busy_at_first(answer_of({"message": "Busy"}, status, Retry_After=1), later, asked))
    assert len(asked) == 2
    assert 1.0 <= asked[1] - asked[0] < 5
    [told] = logged
    assert (told["event"], told["log_level"]) == ("waiting", "warning")
    assert "asks to wait for 1 second" in told["reason"]


@pytest.mark.parametrize("way", sorted({*WAYS} - {"list_uris"}))
@pytest.mark.parametrize(("said", "wait_s"), [("120", 120.0), ("99999999", 300.0), ("soon", 0.0), ("-5", 0.0)])
def test_a_long_or_senseless_wait_is_the_callers(line: Line, way: str, said: str, wait_s: float) -> None:
    asked: list[float] = []
    answer = answer_of({"message": "Busy"}, 429, Retry_After=said)
    found = line.outcome(WAYS[way], busy_at_first(answer, answer, asked))
    assert type(found) is ServerUnavailable
    assert found.wait_s == wait_s
    assert len(asked) == 1


def test_a_server_that_is_always_busy_is_not_waited_for_for_ever(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packrat_core.cinp.session, "_PATIENCE_S", 2.0)
    asked: list[float] = []
    answer = answer_of({"message": "Busy"}, 429, Retry_After=1)
    found = line.outcome(WAYS["get"], busy_at_first(answer, answer, asked))
    assert type(found) is ServerUnavailable
    assert len(asked) == 3
