"""Agents that tests start as copies of one process: each does what a new process would do, and none is left over."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.faked_clock import at_moment
from support.mirror_conf import write_mirror_conf
from support.warm_agent import AGENT, run_agent, warm_agent

DEADLINE_S = 60
NOBODY = "http://127.0.0.1:9"
"""Where no server answers."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a mirror, where the test is at work."""
    (tmp_path / "state").mkdir()
    write_mirror_conf(tmp_path, NOBODY, packrat="psk: secret\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("arguments", [["config"], ["status"], ["verify"], ["site", "nginx"], ["-c", "none", "sync"]])
def test_a_copy_does_what_a_new_process_does(arguments: Sequence[str]) -> None:
    line = ["--config", "mirror.conf", *arguments]
    new = subprocess.run([*AGENT, *line], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    copy = run_agent(line, os.environ, DEADLINE_S)
    assert (copy.returncode, copy.stdout, copy.stderr) == (new.returncode, new.stdout, new.stderr)


@pytest.mark.usefixtures("place")
def test_a_copy_goes_by_its_own_clock() -> None:
    years = []
    for moment in ("2031-01-01 00:00:00", "2032-01-01 00:00:00"):
        environment = os.environ | at_moment(f"@{moment}")
        done = run_agent(["--config", "mirror.conf", "sync"], environment, DEADLINE_S)
        years += re.findall(r"^\d{4}", done.stderr, re.MULTILINE)[:1]
    assert years == ["2031", "2032"]


def test_a_copy_is_gone_once_its_test_is_cut_off(place: Path) -> None:
    pids = []

    def start() -> None:
        with warm_agent(place, {}) as agent:
            pids.append(agent.start(["--config", "mirror.conf", "run"], {}))
            assert agent.until_printed(pids[0], "waiting ")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        start()
    assert not Path(f"/proc/{pids[0]}").exists()
