"""Who holds the lock of the state database is told, whatever stands in the holder file."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.status.bench import NOW, Bench, show
from packrat_agent.publish.claim import claim
from packrat_agent.status.lock_holder import find_holder
from packrat_agent.status.nagios import Level
from packrat_agent.status.values import AgentState
from packrat_core.errors import Busy

_HOLD = """
import sys
from importlib import resources
from pathlib import Path
from packrat_agent.publish.claim import claim
with claim(Path(sys.argv[1]), Path(sys.argv[2]), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holding(bench: Bench) -> Iterator["subprocess.Popen[str]"]:
    mirror = bench.config.mirror
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(mirror.root_dir), str(mirror.state_db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_running_agent_is_shown_with_its_process(bench: Bench, holding: "subprocess.Popen[str]") -> None:
    assert bench.read().agent.state is AgentState.RUNNING
    bench.say(started={"pid": holding.pid, "host": "x", "at": NOW - 60, "version": "1.2"})
    agent = bench.read().agent
    assert (agent.state, agent.pid, agent.version) == (AgentState.RUNNING, holding.pid, "1.2")
    assert f"process {holding.pid}" in show(bench.read())
    bench.say(started={"pid": holding.pid + 1, "at": NOW - 60})
    assert bench.read().agent.state is AgentState.SYNCING
    assert bench.verdict(allow_stopped=False)[0] is Level.WARNING


def test_a_killed_agent_is_shown_as_stopped(bench: Bench, holding: "subprocess.Popen[str]") -> None:
    bench.say_good()
    assert bench.read().scan is not None
    holding.send_signal(signal.SIGKILL)
    holding.wait(60)
    holder = bench.config.mirror.state_db.with_name("state.db.lock.holder")
    assert holder.exists()
    status = bench.read()
    assert (status.agent.state, status.scan) == (AgentState.STOPPED, None)
    assert "not running" in show(status)
    # Its number now belongs to a process that has nothing to do with it.
    holder.write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename}))
    assert bench.read().agent.state is AgentState.STOPPED


def test_an_agent_on_another_host_is_not_taken_for_stopped(bench: Bench) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    status = bench.read()
    assert (status.agent.state, status.agent.host) == (AgentState.ELSEWHERE, "other")
    assert bench.verdict(allow_stopped=False)[0] is Level.OK


def test_an_agent_runs_here_whatever_the_host_is_called_by_now(
    bench: Bench, holding: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.say_good()
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    bench.say(started={"pid": holding.pid, "host": "x", "at": NOW - 60, "version": "1.2"})
    assert bench.read().agent.state is AgentState.RUNNING
    mirror = bench.config.mirror
    with pytest.raises(Busy) as busy, claim(mirror.root_dir, mirror.state_db, "sync"):
        pass
    assert busy.value.runner == holding.pid
    holding.send_signal(signal.SIGKILL)
    holding.wait(60)
    # An agent on another host would be taken for running.
    assert bench.read().agent.state is AgentState.STOPPED
    assert bench.verdict(allow_stopped=False)[0] is Level.CRITICAL


def test_no_signal_goes_to_a_process_of_another_container_with_the_same_host_name(
    bench: Bench, holding: "subprocess.Popen[str]"
) -> None:
    holder = bench.config.mirror.state_db.with_name("state.db.lock.holder")
    said = json.loads(holder.read_text())
    assert said["processes"]
    holder.write_text(json.dumps({**said, "processes": f"{said['processes']}1"}))
    mirror = bench.config.mirror
    with pytest.raises(Busy) as busy, claim(mirror.root_dir, mirror.state_db, "sync"):
        pass
    assert busy.value.runner is None


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps({"pid": text, "host": 1}).encode()))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_holder_file_names_nobody(bench: Bench, content: bytes) -> None:
    path = bench.config.mirror.state_db
    path.with_name(path.name + ".lock.holder").write_bytes(content)
    holder = find_holder(path)
    assert holder is None or holder.host != os.uname().nodename
    path.with_name(path.name + ".lock.holder").unlink()
