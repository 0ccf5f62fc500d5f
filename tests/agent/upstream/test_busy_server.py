"""A busy server is asked again when it says, and not waited for without end."""

import time

import pytest
import structlog

import packrat_core.cinp.session
from agent.upstream.ways import WAYS, Line
from packrat_core.errors import ServerUnavailable
from support.replay import Answerer, Request, answer_of


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
    # A little is added to it, and a busy machine adds more.
    assert 1.0 <= asked[1] - asked[0] < 30
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


@pytest.mark.parametrize(("status", "hint"), [(429, ""), (503, "if that lasts, look at the log of the server")])
def test_a_server_that_can_not_answer_may_need_its_operator(line: Line, status: int, hint: str) -> None:
    answer = answer_of({"message": "its database can't be used"}, status, Retry_After=120)
    found = line.outcome(WAYS["get"], busy_at_first(answer, answer, []))
    assert type(found) is ServerUnavailable
    assert (found.hint, "busy" in str(found)) == (hint, False)


def test_a_server_that_is_always_busy_is_not_waited_for_for_ever(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packrat_core.cinp.session, "_PATIENCE_S", 2.0)
    asked: list[float] = []
    answer = answer_of({"message": "Busy"}, 429, Retry_After=1)
    found = line.outcome(WAYS["get"], busy_at_first(answer, answer, asked))
    assert type(found) is ServerUnavailable
    assert len(asked) == 3
