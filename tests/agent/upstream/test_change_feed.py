"""Changes are heard on one open question where the server has that, and by questions of their own where it can't be."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from packrat_agent.upstream import change_feed
from packrat_agent.upstream.change_feed import REST_S, ChangeFeed
from packrat_core.cinp import line_stream
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.limits import LISTING
from packrat_core.cinp.line_stream import LineStream, Silent
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import ServerBroken, ServerRefused, ServerUnavailable

URI = "/api/v2/Repo/Mirror:lab:(changes)"
DESCRIBED = {"paramaters": [{"name": name} for name in ("position", "timeout", "records", "stream")]}
SILENT_S = 0.5
"""After so long a silence the feed gives up, where a test is about that; a busy machine may be silent as long."""
PATIENT_S = 60.0
Act = Callable[[asyncio.StreamWriter], Awaitable[None]]


def told(position: str, *packages: str) -> dict[str, Any]:
    return {"position": position, "changes": {"/api/v2/Repo/Repo:one:": list(packages)} if packages else {}}


def begin(kind: str = "application/jsonl", status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode()


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def saying(*parts: bytes, end: bool = True) -> Act:
    """Send some parts, then end the answer or leave it open."""

    async def act(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if not end:
            await asyncio.Event().wait()

    return act


class Wire:
    """A server that answers each request as told, and the feed that asks it."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.asked: list[Any] = []
        self.now = 0.0
        self.silent_s = PATIENT_S
        self.go_on = asyncio.Event()
        """What an act may wait for."""
        self.feed = ChangeFeed(self._ask, self._open, lambda: self.now)
        self.feed.learn(DESCRIBED)

    def run(self, work: Callable[["Wire"], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(self._run(work))

    async def hear(self, position: str, timeout_s: float = 30) -> Any:
        return (await self.feed.hear(position, timeout_s)).value

    async def _run(self, work: Callable[["Wire"], Coroutine[Any, Any, None]]) -> None:
        serving: set[asyncio.Task[Any] | None] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.current_task())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            self.asked.append(json.loads(await reader.readexactly(length)))
            with suppress(ConnectionError, asyncio.CancelledError):
                await self.acts.pop(0)(writer)
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(120), CinpClient(origin, timeouts=Timeouts(30, 30, 60)) as self.client:
            await work(self)
        for task in serving:
            if task is not None:
                task.cancel()
        server.close()

    async def _ask(self, arguments: Mapping[str, Any], timeout_s: float) -> Any:
        return await self.client.call(URI, arguments, timeout_s, repeatable=True)

    async def _open(self, arguments: Mapping[str, Any]) -> Any:
        return await self.client.open_lines(URI, arguments, begin_s=self.silent_s, silent_s=self.silent_s)


def test_one_question_tells_of_all_changes() -> None:
    async def work(wire: Wire) -> None:
        assert await wire.hear("1-a") == told("2-b", "x")
        assert await wire.hear("2-b") == told("3-c", "y")
        assert await wire.hear("3-c") == told("4-d", "z")
        [asked] = wire.asked
        assert asked == {"position": "1-a", "timeout": 240, "stream": True, "records": True}
        # Its end tells nothing; the next question begins where this one ended.
        assert await wire.hear("4-d") == told("5-e", "x")
        assert wire.asked[1]["position"] == "4-d"

    first = (begin(), lines(told("1-a"), told("2-b", "x"), told("3-c", "y")), b"\n\n", lines(told("4-d", "z")))
    Wire(saying(*first), saying(begin(), lines(told("5-e", "x")))).run(work)


def test_a_position_without_a_change_is_kept_and_the_time_is_kept_to() -> None:
    async def work(wire: Wire) -> None:
        assert await wire.hear("1-a", 0.1) == told("7-b")
        assert await wire.hear("7-b", 0.1) == told("7-b")
        assert len(wire.asked) == 1
        # Another position is another question.
        assert await wire.hear("9-x") == told("10-y", "z")

    Wire(saying(begin(), lines(told("7-b")), end=False), saying(begin(), lines(told("10-y", "z")))).run(work)


def test_a_wait_that_is_given_up_in_the_middle_of_a_line_loses_nothing() -> None:
    line = lines(told("2-b", "x" * 50))

    async def work(wire: Wire) -> None:
        assert await wire.hear("1-a", 0.05) == told("1-a")
        wire.go_on.set()
        assert await wire.hear("1-a") == told("2-b", "x" * 50)

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(begin() + lines(told("1-a")) + line[:20])
        await wire.go_on.wait()
        writer.write(line[20:])

    wire = Wire(act)
    wire.run(work)


ENDING = saying(begin("application/json"), json.dumps(told("1-a")).encode())


@pytest.mark.parametrize(
    "held_back",
    [
        saying(end=False),
        saying(begin(), end=False),
        saying(begin(), b'{"position"', end=False),
        saying(begin(), lines(told("1-a")), end=False),
        ENDING,
    ],
    ids=["no head", "no body", "half a line", "silent after the first line", "an answer that ends"],
)
def test_each_change_is_asked_for_where_a_proxy_holds_lines_back(held_back: Act) -> None:
    plain = saying(begin("application/json"), json.dumps(told("2-b", "x")).encode())
    # Whether it answers at once is asked only where it fell silent.
    acts = [held_back, plain, plain] if held_back is ENDING else [held_back, plain, plain, plain]

    async def work(wire: Wire) -> None:
        with capture_logs() as logged:
            wire.silent_s = SILENT_S
            heard = await wire.hear("1-a")
            if heard == told("1-a"):
                heard = await wire.hear("1-a")
            assert heard == told("2-b", "x")
            wire.silent_s = PATIENT_S
            assert wire.asked[-1] == {"position": "1-a", "timeout": 30, "records": True}
            await wire.hear("2-b")
            assert wire.asked[-1]["timeout"] == 30
            wire.now = REST_S
            assert await wire.hear("2-b") == told("3-c", "y")
            assert wire.asked[-1]["stream"] is True
        assert [entry["event"] for entry in logged] == ["buffered"]

    Wire(*acts, saying(begin(), lines(told("3-c", "y")))).run(work)


def test_a_server_that_stood_still_is_not_taken_for_a_proxy_that_holds_back() -> None:
    """As after SIGSTOP, or behind a link that was dead: it answers, but not at once."""

    async def late(writer: asyncio.StreamWriter) -> None:
        wire.now += 10
        await plain(writer)

    async def work(wire: Wire) -> None:
        wire.silent_s = SILENT_S
        with capture_logs() as logged:
            assert await wire.hear("1-a") == told("2-b", "x")
            wire.silent_s = PATIENT_S
            assert await wire.hear("2-b") == told("3-c", "y")
        assert (logged, wire.asked[-1]["stream"]) == ([], True)

    plain = saying(begin("application/json"), json.dumps(told("2-b", "x")).encode())
    wire = Wire(saying(begin(), end=False), late, plain, saying(begin(), lines(told("3-c", "y"))))
    wire.run(work)


def test_a_server_that_is_away_is_not_taken_for_a_proxy_that_holds_back() -> None:
    async def work(wire: Wire) -> None:
        wire.silent_s = SILENT_S
        with capture_logs() as logged, pytest.raises(ServerUnavailable):
            await wire.hear("1-a")
        assert logged == []
        wire.silent_s = PATIENT_S
        assert await wire.hear("1-a") == told("2-b", "x")
        assert wire.asked[-1]["stream"] is True

    Wire(saying(end=False), saying(), saying(begin(), lines(told("2-b", "x")))).run(work)


def test_an_answer_that_can_not_stay_open_is_over_once_it_is_read() -> None:
    async def work(wire: Wire) -> None:
        assert await wire.hear("1-a") == told("2-b", "x")
        assert not wire.feed.is_open

    Wire(saying(begin("application/json"), json.dumps(told("2-b", "x")).encode())).run(work)


def test_a_connection_that_breaks_off_is_followed_by_a_question_of_its_own() -> None:
    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(begin().replace(b"Connection: close", b"Transfer-Encoding: chunked") + b"c\r\n")

    async def work(wire: Wire) -> None:
        assert await wire.hear("1-a") == told("2-b", "x")
        assert "stream" not in wire.asked[-1]
        # That is no reason to do without lines.
        assert await wire.hear("2-b") == told("3-c", "y")
        assert wire.asked[-1]["stream"] is True

    part = lines(told("1-a"))
    chunked = begin().replace(b"Connection: close", b"Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (len(part), part)
    plain = saying(begin("application/json"), json.dumps(told("2-b", "x")).encode())
    Wire(saying(chunked), plain, saying(begin(), lines(told("3-c", "y")))).run(work)


def test_an_agent_that_stood_still_blames_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with its machine, or after SIGSTOP: no line was late, it was read late."""
    times = count(1, 60)
    clock = SimpleNamespace(time=lambda: float(next(times)))
    for module in (change_feed, line_stream):
        monkeypatch.setattr(module, "time", clock)

    async def work(wire: Wire) -> None:
        with capture_logs() as logged:
            # The first value names no change, so it waits on, and then finds that nothing came in time.
            assert await wire.hear("1-a") == told("2-b", "x")
            wire.silent_s = PATIENT_S
            assert await wire.hear("2-b") == told("3-c", "y")
        assert (logged, wire.asked[-1]["stream"]) == ([], True)

    plain = saying(begin("application/json"), json.dumps(told("2-b", "x")).encode())
    wire = Wire(saying(begin(), lines(told("1-a")), end=False), plain, saying(begin(), lines(told("3-c", "y"))))
    wire.silent_s = SILENT_S
    wire.run(work)


def test_an_answer_that_ends_at_once_is_asked_for_once_in_a_wait() -> None:
    async def work(wire: Wire) -> None:
        assert await wire.hear("1-a") == told("1-a")
        assert len(wire.asked) == 1

    Wire(saying(begin(), lines(told("1-a")))).run(work)


@pytest.mark.parametrize(
    "said",
    [b"nonsense\n", b"[" * 100_000 + b"\n", b"\n" * 2000, b" " * (LISTING.size + 1), b'"\xff"\n'],
    ids=["no JSON", "deep", "empty lines", "endless", "no UTF-8"],
)
def test_nonsense_is_refused_within_bounds(said: bytes) -> None:
    async def work(wire: Wire) -> None:
        with pytest.raises(ServerBroken):
            await wire.hear("1-a")

    Wire(saying(begin(), said, end=False)).run(work)


def test_a_refusal_is_reported_as_one() -> None:
    async def work(wire: Wire) -> None:
        with pytest.raises(ServerRefused, match="no such mirror"):
            await wire.hear("1-a")

    Wire(saying(begin("application/json", 400), b'{"message": "no such mirror"}')).run(work)


def test_a_server_without_it_is_asked_as_before() -> None:
    async def work(wire: Wire) -> None:
        wire.feed.learn({"paramaters": [{"name": "position"}]})
        assert await wire.hear("1-a") == told("2-b", "x")
        assert wire.asked == [{"position": "1-a", "timeout": 30}]

    Wire(saying(begin("application/json"), json.dumps(told("2-b", "x")).encode())).run(work)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=20))
def test_lines_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    values = [told(f"{number}-x", "p" * number) for number in range(2, 6)]
    whole, parts = lines(*values[:2]) + b"\n" + lines(*values[2:]), []
    for size in cuts:
        parts.append(whole[:size])
        whole = whole[size:]

    async def work(wire: Wire) -> None:
        position = "1-x"
        for value in values:
            assert await wire.hear(position) == value
            position = value["position"]

    Wire(saying(begin(), *parts, whole)).run(work)


def test_the_open_question_says_what_is_wrong() -> None:
    async def work(wire: Wire) -> None:
        wire.silent_s = SILENT_S
        with pytest.raises(Silent, match="does not begin"):
            await wire._open({})

    Wire(saying(end=False)).run(work)


class Cutting:
    """A way to a server that cuts each question after some seconds, at a clock of its own."""

    def __init__(self, cut_s: float, *, is_away: bool = False) -> None:
        self.cut_s = cut_s
        self.is_away = is_away
        self.now = 1000.0
        self.waits: list[float] = []
        self.feed = ChangeFeed(self.ask, self.open_lines, lambda: self.now)

    async def ask(self, arguments: Mapping[str, Any], _limit_s: float) -> Any:
        self.waits.append(arguments["timeout"])
        self.now += min(arguments["timeout"], self.cut_s)
        if arguments["timeout"] > self.cut_s or self.is_away:
            raise ServerUnavailable("504, Gateway Time-out")
        return told("2")

    async def open_lines(self, _arguments: Mapping[str, Any]) -> LineStream:
        raise AssertionError

    def hear(self) -> Any:
        return asyncio.run(self.feed.hear("1", 60.0)).value


def test_a_proxy_that_cuts_long_questions_is_asked_shorter_ones_and_told_of_once() -> None:
    way = Cutting(30.0)
    with capture_logs() as logged:
        assert [way.hear() for _ in range(4)] == [told("2")] * 4
        assert way.waits == [60.0, 0, 21.0, 21.0, 21.0]
        way.cut_s = 20.0
        assert way.hear() == told("2")
        assert way.hear() == told("2")
        assert way.waits[5:] == [21.0, 0, 14.0]
        way.now += REST_S
        assert way.hear() == told("2")
        assert way.waits[8:] == [60.0, 0]
    assert [entry["event"] for entry in logged] == ["buffered"]
    way.now += REST_S
    way.cut_s = 60.0
    assert way.hear() == told("2")
    assert way.waits[10:] == [60.0]
    way.cut_s = 30.0
    with capture_logs() as logged:
        assert way.hear() == told("2")
    assert [entry["event"] for entry in logged] == ["buffered"]


@pytest.mark.parametrize(("cut_s", "waits"), [(30.0, [60.0, 0]), (1.0, [60.0])])
def test_a_server_that_is_away_is_not_taken_for_a_proxy_that_cuts(cut_s: float, waits: list[float]) -> None:
    way = Cutting(cut_s, is_away=True)
    for _ in range(2):
        with pytest.raises(ServerUnavailable):
            way.hear()
    assert way.waits == waits * 2
