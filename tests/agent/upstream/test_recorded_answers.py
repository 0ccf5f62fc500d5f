"""Recorded answers of the original server are understood, and its errors are told in its own words."""

import pytest

from agent.upstream.ways import ANSWERS, TIMEOUTS, WAYS, Line, Way, assert_told
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.refusals import NotFound, SessionEnded
from packrat_core.errors import PackratError, ServerBroken, ServerRefused, ServerUnavailable
from support.replay import Recorded, replaying


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


@_named(
    [
        answer
        for answer in ANSWERS
        if 200 <= answer.status < 300 and natural(answer) and not answer.target.startswith("/files")
    ]
)
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
        assert found == {uri: record for uri, record in answer.value.items() if isinstance(record, dict)}
    else:
        assert found == (answer.value if answer.value != "" else None)


@_named([answer for answer in ANSWERS if answer.status >= 300 and natural(answer)])
def test_a_recorded_error_is_reported_in_the_servers_words_as_what_it_is(line: Line, answer: Recorded) -> None:
    way = natural(answer)
    assert way is not None
    found = line.outcome(way, lambda request: answer.raw)
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
