"""Sessions of the server: opened once, opened again when they end, never asked for without end."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from agent.upstream.ways import (
    WAYS,
    Line,
    packrat,
)
from packrat_core.cinp.client import CinpClient
from packrat_core.errors import ServerBroken, ServerRefused
from support.replay import Request, answer_of


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


def test_a_session_that_ended_is_opened_again_once_however_many_notice(line: Line) -> None:
    server = Sessions()

    async def go(client: CinpClient) -> None:
        mirror = packrat(client)
        await mirror.heartbeat()
        server.token = "forgotten"
        await asyncio.gather(*(mirror.heartbeat() for _ in range(10)))

    line.ask(go, server.answer)
    assert (server.logins, server.heartbeats) == (2, 11)


def test_a_wrong_psk_is_reported_and_not_shown(line: Line) -> None:
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
    with pytest.raises(ServerBroken, match="not a token"):
        line.ask(WAYS["login"], lambda request: answer_of(token))
