"""A server that takes connections and never answers: somebody who waits at a terminal soon hears so."""

import socket

import pytest

from packrat_agent.config.load import load
from packrat_agent.setup import new_mirror
from packrat_agent.setup.new_mirror import ask_server, wait_briefly
from packrat_core.errors import ServerUnavailable
from support.stage import Stage

WAIT_S = 1


def test_it_is_told_before_the_agent_would_give_up(lab: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_mirror, "_WAIT_S", WAIT_S)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lab.server.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        lab.write_config()
        with pytest.raises(ServerUnavailable, match="no answer in time") as caught:
            ask_server(load(lab.config))
    # A limit that is longer already, nobody has to raise.
    assert caught.value.hint == "find out what keeps the server busy"


def test_a_shorter_limit_of_the_configuration_stays(lab: Stage) -> None:
    config = load(lab.config)
    assert wait_briefly(config).packrat.stall_timeout_s == 10
    lab.config.write_text(
        lab.config.read_text().replace("[mirror]", "connect_timeout: 2\nstall_timeout: 5\n\n[mirror]")
    )
    bounded = wait_briefly(load(lab.config)).packrat
    assert (bounded.connect_timeout_s, bounded.stall_timeout_s) == (2, 5)
