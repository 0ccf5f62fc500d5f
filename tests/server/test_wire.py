"""The server answers as the original one did: same status, same shape of body, same words of its errors."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from packrat_server.api.serve_options import ServeOptions
from support.recorded import Exchange, read_wire
from support.world import Answer, World, world

_CHECKED = "a wrong number or null is the caller's fault: 400, not 500"
_OWN = "a mirror's session sees its own mirror, its repositories and their files, nothing else"
_SESSION = "reading needs a session"

BETTER: dict[str, tuple[int, str]] = {
    "04:9 LIST DistroVersion Count 10^19": (200, "no number is too large to ask for"),
    "04:10 LIST DistroVersion Count -1": (400, _CHECKED),
    "04:11 LIST DistroVersion Position -1": (400, _CHECKED),
    "04:26 LIST PackageFile filter repo, repo null": (400, _CHECKED),
    "05:1 wrong CInP-Version 1.0": (200, "clients of CInP 0.9, 1.0 and 2.0 are answered in kind"),
    "05:21 unparsable uri (plus)": (404, "packages may be called g++"),
    "05:29 500: Count -1": (400, _CHECKED),
    "05:32 poll: null timeout": (400, _CHECKED),
    "08:33 [lab right] CALL heartbeat other mirror prod": (404, _OWN),
    "08:34 [lab right] GET Mirror:prod:": (404, _OWN),
    "08:58 only Auth-Id": (403, _SESSION),
    "08:59 only Auth-Token": (403, _SESSION),
    "08:73 change_password (to the same)": (403, "a mirror's psk is its administrator's to change"),
    "08:70 logout anonymous": (403, "who has no session can't end one"),
    "08:75 change_password anonymous": (403, "who has no session has no password"),
}
"""Where this server does better on purpose: exchange → its status, and why."""

OPTIONAL = ("reason",)
"""Arguments of actions that the original server does not take, and nobody has to give."""

DESCRIBED_OTHERWISE = {("DistroVersion", "distro"): "a distribution version may be of any distribution"}
"""Fields that this server describes in another way on purpose: model and field → why."""

NOT_REPLAYED = {
    "03:2 GET PackageFile 25 distinct ids": "its answer was recorded in part only",
    "08:72 login inactive user": "the recording locked user lab out before it; test_access has the same",
    "14:1 LIST PackageFile repo apt-dev, package ['polldeb']": "speaks of packages made by hand; test_promotion has it",
    "14:2 GET them": "the same",
    "18:4 chunked request body": "this server reads chunked bodies",
}
"""Exchanges that can't be sent again as they are, and why; downloads and polls have tests of their own."""

_OPEN_TO_ALL = ("login", "whoami", "logout", "change_password")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def replayed() -> list[Exchange]:
    # File 15 shows how the original fails without its database.
    found = read_wire("01", "02", "03", "04", "05", "06", "08", "13", "14", "18")
    return [
        exchange for exchange in found if exchange.id not in NOT_REPLAYED and not exchange.target.startswith("/files")
    ]


@pytest.mark.parametrize("exchange", replayed(), ids=lambda exchange: exchange.id)
def test_the_answer_is_that_of_the_original_server(server: World, exchange: Exchange) -> None:
    check_answer(replay(server, exchange), exchange, BETTER)


def test_a_public_server_answers_who_has_no_session_as_the_original_does(tmp_path: Path) -> None:
    better = {name: what for name, what in BETTER.items() if what[1] != _SESSION}
    with world(tmp_path, None, ServeOptions(is_public=True)) as public:
        for exchange in replayed():
            check_answer(replay(public, exchange, who_reads=None), exchange, better)


def check_answer(answer: Answer, exchange: Exchange, better: Mapping[str, tuple[int, str]]) -> None:
    """Compare an answer with the recorded one.

    Args:
        answer: The answer.
        exchange: The exchange that it belongs to.
        better: Where the server does better on purpose.
    """
    if exchange.id in better:
        assert answer.status == better[exchange.id][0], (exchange.id, answer.data)
        return
    assert answer.status == exchange.status, (exchange.id, answer.data)
    recorded = parsed(exchange.answer)
    if exchange.verb == "HEAD":
        assert answer.data == b""
    elif exchange.status >= 400:
        assert answer.value == recorded
    elif exchange.verb == "DESCRIBE":
        assert_described(answer.value, recorded)
    else:
        assert shape(answer.value) == shape(recorded)
    for name, value in exchange.answer_headers:
        if name in ("Verb", "Type", "Multi-Object", "Cinp-Version", "Content-Type", "Id-Only"):
            assert answer.headers.get(name) == value, name


def replay(server: World, exchange: Exchange, version: str | None = None, who_reads: str | None = "root") -> Any:
    """Send a recorded request again.

    Args:
        server: The server.
        exchange: What was recorded.
        version: Another version of CInP; None for the recorded one.
        who_reads: In whose session is read what the original server tells everybody; None for no session.
    """
    headers = {name: value for name, value in exchange.headers if name.lower() not in ("auth-id", "auth-token")}
    who, token = exchange.header("auth-id"), exchange.header("auth-token")
    good = who is not None and token is not None and len(token) == 32 and "wrong" not in token
    if exchange.status == 401 or ((who or token) and not good):
        headers |= {name: value for name, value in exchange.headers if name.lower() in ("auth-id", "auth-token")}
    elif who is not None:
        headers |= server.auth(who)
    elif not any(f"({action})" in exchange.target for action in _OPEN_TO_ALL) and exchange.status not in (401, 403):
        # The original server asked nobody who he is.
        headers |= server.auth(who_reads)
    if version is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "cinp-version"}
        headers["CInP-Version"] = version
    if "(logout)" in exchange.target or "(change_password)" in exchange.target:
        server.tokens.clear()
    body = exchange.body
    data = b"" if body == "" else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return server.ask(exchange.verb, exchange.target, headers, data)


def parsed(body: Any) -> Any:
    """Bodies that the recorder kept as text are parsed; a note of its own at the end is left out."""
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(body.partition("\n<<recorder")[0])
        except ValueError:
            return body
    return body


def shape(value: Any, key: str = "") -> Any:
    """The keys and types of a value; a map by URI, and a list, is as its first entry."""
    if isinstance(value, dict):
        if any(name.startswith("/api/") for name in value):
            return {"URI": shape(next(iter(value.values())))}
        return {name: shape(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if key in ("last_heartbeat", "failed_at", "failed_by", "deprocated_at", "deprocated_by", "change_control_id"):
        return "text or null"
    return type(value).__name__


def assert_described(ours: dict[str, Any], recorded: dict[str, Any]) -> None:
    """All that the original describes stands there, in its order; more actions, filters and OPTIONAL may follow."""
    for name, value in recorded.items():
        mine = ours[name]
        if name == "actions":
            mine = [action for action in mine if action in value]
        elif name == "paramaters":
            mine = [parameter for parameter in mine if parameter["name"] not in OPTIONAL]
        elif name == "list-filters":
            mine = {filter_name: mine[filter_name] for filter_name in value}
        expected = value
        if name == "fields":
            mine, expected = (
                [field for field in fields if (recorded["name"], field["name"]) not in DESCRIBED_OTHERWISE]
                for fields in (mine, value)
            )
        assert mine == expected, name


def test_every_exception_is_of_an_exchange() -> None:
    assert {*BETTER, *NOT_REPLAYED} <= {exchange.id for exchange in read_wire()}
