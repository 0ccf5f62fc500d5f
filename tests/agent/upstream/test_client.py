"""The client of the packrat server: every answer is understood or told as a clean error, however odd it is."""

import json
from typing import Any

import pytest

from agent.upstream.ways import FILES, MIRROR, REPOS, TIMEOUTS, WAYS, Line, always
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.refusals import NotFound
from packrat_core.errors import PackratError, ServerBroken, ServerRefused, ServerUnavailable
from support.replay import Request, answer_of, replaying


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
    with pytest.raises(ServerBroken, match=r"accepts none of the CInP versions .*; upgrade the older one"):
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
        return answer_of({f"{FILES}:{number}:": {"id": number} for number in ids})

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
        gone = [number for number in ids if number in missing]
        if gone:
            body = {"model_path": "packrat.Package.models.PackageFile", "object_id": gone[0]} if told else {"x": "y"}
            return answer_of(body, 404)
        return answer_of({f"{FILES}:{number}:": {} for number in ids})

    found = line.ask(lambda client: client.get_many(FILES, [str(number) for number in range(100)]), answer)
    assert len(found) == 96
    assert not missing & {uri.split(":")[1] for uri in found}
    assert len(asked) < 50


def test_objects_that_nobody_asked_for_are_left_out_and_those_that_are_not_shown_have_no_fields(line: Line) -> None:
    stuffed = {f"{FILES}:1:": {"a": 1}, f"{FILES}:4:": {}, f"{REPOS}:1:": {}, f"{FILES}:2:": "x"}
    expected = {f"{FILES}:1:": {"a": 1}, f"{FILES}:2:": {}, f"{FILES}:3:": {}}
    assert line.ask(WAYS["get_many"], lambda request: answer_of(stuffed)) == expected


def test_an_action_without_a_result_answers_with_nothing(line: Line) -> None:
    assert line.ask(WAYS["call"], lambda request: answer_of()) is None
    assert line.ask(WAYS["heartbeat"], lambda request: answer_of()) is None


@pytest.mark.parametrize("raw", [b"<html>Bad</html>", b"\x00\xff", b'{"a": ', b"[" * 10_000, b'"\xff"', b"1" * 10_000])
def test_an_answer_that_is_not_json_is_reported(line: Line, raw: bytes) -> None:
    with pytest.raises(ServerBroken, match=r"not JSON; see that http://127\.0\.0\.1:\d+ is the packrat server"):
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
def test_an_error_in_any_form_is_reported_as_what_it_is(
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
