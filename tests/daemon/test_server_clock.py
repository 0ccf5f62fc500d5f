"""A host whose clock and the packrat server's don't agree: the log and `check` say so, and what is published stays."""

import os
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from support.faked_clock import at_moment, sync_at
from support.stage import Stage, new_daemon, stage


def checked(lab: Stage) -> str:
    return lab.agent("check", "--allow-stopped", "--allow-plain-http", "--disk-free", "0", expect=None).stdout


@pytest.mark.parametrize(("moment", "text"), [("+1d", "24 h ahead of"), ("-30d", "30 d behind")])
def test_a_sync_with_another_clock_than_the_servers_says_so(tmp_path: Path, moment: str, text: str) -> None:
    with stage(tmp_path, None) as lab:
        lab.server.put_deb(Deb("first", "1", "amd64"))
        sync_at(lab, moment)
        assert f"this host's clock is {text} the packrat server's" in checked(lab)
        assert "Package: first" in lab.packages()
        lab.agent("sync")
        assert "the packrat server's" not in checked(lab)


def test_a_running_agent_says_so_once(tmp_path: Path) -> None:
    with stage(tmp_path, None) as lab:
        lab.server.put_deb(Deb("first", "1", "amd64"))
        environment = os.environ | at_moment("+365d") | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with new_daemon(lab.command("run"), environment) as agent:
            told = agent.until_logged("checked ")
            lab.agent("sync")
            told = agent.until_logged("checked ", 2)
            assert told.count("server-clock ") == 1
            assert "server-clock reason=\"this host's clock is 365 d ahead of the packrat server's" in told
            assert "the packrat server's" in checked(lab)
