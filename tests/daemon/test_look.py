"""Looking at a real agent from another process, and carrying its mirror to another host."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

from packrat_demo.build_deb import Deb
from support.stage import DEADLINE_S, Stage, daemon

_GOOD = ("--disk-free", "0", "--key-days", "0")


def test_status_and_check_see_the_agent_at_work_and_gone(lab: Stage) -> None:
    assert "no packrat-agent has worked with this configuration yet" in lab.agent("status", expect=2).stderr
    assert lab.agent("check", expect=3).stdout.startswith("PACKRAT UNKNOWN - ")
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        told = json.loads(lab.agent("status", "--json").stdout)
        assert (told["agent"]["state"], told["agent"]["pid"]) == ("running", agent.process.pid)
        [repo] = told["repos"]
        assert (repo["name"], repo["kind"], repo["wanted"], repo["live"]) == ("apt-dev", "apt", 1, 1)
        assert repo["published"] is not None
        plain = lab.agent("status").stdout
        assert f"process {agent.process.pid}" in plain
        assert "\x1b" not in plain
        assert lab.agent("check", *_GOOD, expect=0).stdout.startswith("PACKRAT OK - 1 repository, 1 live")
        agent.process.send_signal(signal.SIGKILL)
        agent.process.wait(60)
        assert json.loads(lab.agent("status", "--json").stdout)["agent"]["state"] == "stopped"
        assert lab.agent("check", *_GOOD, expect=2).stdout.startswith("PACKRAT CRITICAL - the agent is not running")
        assert lab.agent("check", *_GOOD, "--allow-stopped", expect=0)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert lab.agent("check", *_GOOD, expect=0)
        assert agent.stop() == 0
    assert "not running" in lab.agent("status").stdout
    assert lab.agent("check", "--max-lag", "soon", expect=3)


def test_a_sync_of_its_own_tells_how_the_server_stands(lab: Stage) -> None:
    lab.agent("sync")
    assert json.loads(lab.agent("status", "--json").stdout)["server"]["up"] is True
    reachable, lab.server.url = lab.server.url, "http://127.0.0.1:1"
    lab.write_config()
    lab.agent("sync", expect=3)
    away = json.loads(lab.agent("status", "--json").stdout)["server"]
    assert (away["up"], away["url"]) == (False, "http://127.0.0.1:1")
    assert "127.0.0.1:1" in away["reason"]
    lab.server.url = reachable


def test_looking_does_not_hinder_the_agent(lab: Stage) -> None:
    with daemon(lab) as agent:
        agent.until_logged("checked")
        for number in range(3):
            lab.server.put_deb(Deb(f"package{number}", "1", "amd64"))
            lab.agent("status")
            agent.until_logged("published repo=apt-dev", number + 1)
        assert agent.stop() == 0
        assert "ERROR" not in agent.log


def test_a_server_that_answers_is_known_to_do_so_though_the_disk_is_looked_at_for_hours(lab: Stage) -> None:
    lab.agent("sync")
    lab.lose_state()
    large = lab.www / "large"
    large.touch()
    os.truncate(large, 1024**4)
    with daemon(lab) as agent:
        agent.until_logged("started")
        deadline = time.monotonic() + DEADLINE_S
        while not (told := json.loads(lab.agent("status", "--json").stdout))["server"]["answered"]:
            assert time.monotonic() < deadline
        assert told["full_pass"] is None
        assert agent.stop() == 0


def _move(lab: Stage, *, with_state: bool) -> None:
    """Copy the mirror as the documentation says, and let the old place vanish."""
    there = lab.directory.parent / f"{lab.directory.name}-there"
    there.mkdir()
    shutil.copytree(lab.www, there / "www", symlinks=True)
    (there / "state").mkdir()
    if with_state:
        shutil.copy2(lab.directory / "state/state.db", there / "state")
    text = lab.config.read_text()
    for part in ("www", "state"):
        shutil.rmtree(lab.directory / part)
        text = text.replace(str(lab.directory / part), str(there / part))
    lab.config.write_text(text)


def _moved(path: Path) -> dict[str, tuple[bytes, int]]:
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and ".packrat-agent" not in file.parts)
    return {str(file.relative_to(path)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_mirror_that_moves_to_another_host_is_not_downloaded_again(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    before = _moved(lab.www)
    _move(lab, with_state=True)
    told = lab.agent("sync").stdout
    assert "0 added, 0 withdrawn, 0 refused, 0 files removed from disk, 0 B downloaded" in told
    assert _moved(lab.directory.parent / f"{lab.directory.name}-there/www") == before


def test_a_mirror_that_moves_without_its_state_keeps_its_packages(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    _move(lab, with_state=False)
    assert " 0 B downloaded" in lab.agent("sync").stdout
    assert " 0 B downloaded" in lab.agent("sync").stdout
