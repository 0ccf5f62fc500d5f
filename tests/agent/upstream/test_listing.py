"""Lists of the server are whole, whatever their order, or are given up."""

from collections.abc import Sequence
from typing import Any

import pytest

from agent.upstream.ways import FILES, REPO, WAYS, Line, packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.listing import Sink
from packrat_core.errors import ServerBroken
from support.replay import Request, answer_of


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


def test_a_list_of_about_as_many_as_expected_is_asked_for_once(line: Line) -> None:
    rows = [f"{FILES}:{number}:" for number in range(2001)]
    asked: list[str] = []
    taken: list[str] = []

    async def take(uris: Sequence[str]) -> None:
        taken.extend(uris)

    async def ask(client: CinpClient) -> None:
        await packrat(client).list_wanted_into(Sink(taken.clear, take, expected=2000), REPO)

    def answer(request: Request) -> bytes:
        asked.append(request.headers["count"])
        return answer_of(rows, Total=len(rows))

    line.ask(ask, answer)
    assert asked == ["2100"]
    assert taken == rows


def test_a_list_that_never_becomes_whole_is_given_up(line: Line) -> None:
    asked = []

    def answer(request: Request) -> bytes:
        asked.append(request)
        return answer_of([f"{FILES}:1:"], Total=2)

    with pytest.raises(ServerBroken, match="never gave as many entries"):
        line.ask(WAYS["list_uris"], answer)
    assert len(asked) == 3


def test_a_row_that_is_listed_twice_counts_once(line: Line) -> None:
    found = line.ask(WAYS["list_uris"], lambda request: answer_of(["a", "b", "a"], Total=3))
    assert found == ["a", "b"]


@pytest.mark.parametrize("total", ["", "-1", "x", "1.0", "1000001", "9" * 30, "٣", "1, 1", None])
def test_a_total_that_can_not_be_is_refused(line: Line, total: str | None) -> None:
    answer = answer_of([]) if total is None else answer_of([], Total=total.encode().decode("latin-1"))
    with pytest.raises(ServerBroken, match="at most 1000000 can be"):
        line.ask(WAYS["list_uris"], lambda request: answer)


@pytest.mark.parametrize("value", [None, {}, "x", 1, [1], [None], [["x"]], ["a", {}]])
def test_a_list_that_is_none_is_refused(line: Line, value: Any) -> None:
    with pytest.raises(ServerBroken, match="not a list of URIs"):
        line.ask(WAYS["list_uris"], lambda request: answer_of(value, Total=1))
