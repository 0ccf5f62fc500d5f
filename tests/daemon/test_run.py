"""A real `packrat-agent run`: it follows the server until it is told to stop."""

import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.calls import watch
from support.stage import DEADLINE_S, Stage, daemon, new_daemon


def test_a_tagged_package_arrives_and_a_failed_one_disappears(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert "Package: first" in lab.packages()
        [uri] = lab.server.put_deb(Deb("second", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        assert "Package: second" in lab.packages()
        lab.server.act(uri, "fail")
        agent.until_logged("published repo=apt-dev", 3)
        assert "Package: second" not in lab.packages()
        assert "Package: first" in lab.packages()
        assert agent.stop() == 0
        assert "stopped" in agent.log


def test_run_imports_the_modules_of_all_types_at_its_start(lab: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weeks later, those of another version of this program may be installed in their place."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with new_daemon(lab.command("run")) as agent:
        log = agent.until_logged("checked seconds=")
        assert agent.stop() == 0
    imported = {line.rpartition("|")[2].strip(' "') for line in log.splitlines() if "import time:" in line}
    assert {f"packrat_agent.formats.{kind}.format" for kind in FORMATS} <= imported


def test_untag_unfail_and_deprocate_are_followed(lab: Stage) -> None:
    [uri] = lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        shown = 1
        steps: list[tuple[Callable[[], None], bool]] = [
            (lambda: lab.server.untag(uri, "dev"), False),
            (lambda: lab.server.tag(uri, "dev"), True),
            (lambda: lab.server.act(uri, "fail"), False),
            (lambda: lab.server.act(uri, "unfail"), True),
            (lambda: lab.server.act(uri, "deprocate"), False),
            (lambda: lab.server.act(uri, "undeprocate"), True),
        ]
        for change, there in steps:
            change()
            shown += 1
            agent.until_logged("published repo=apt-dev", shown)
            assert ("Package: first" in lab.packages()) == there


def test_a_new_repository_of_the_mirror_is_built_at_once(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"), tags=("dev", "stage"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        engine = open_database(lab.server.data)
        admin.save_repo(engine, admin.NewRepo("apt-stage", "apt", "stage", ("bookworm",), directory="stage/apt"))
        admin.save_mirror(engine, "lab", ["apt-dev", "apt-stage"])
        engine.dispose()
        agent.until_logged("published repo=apt-stage")
        assert (lab.www / "stage/apt/dists/bookworm/InRelease").exists()


def test_a_change_while_the_agent_is_down_is_found_at_start(lab: Stage) -> None:
    [uri] = lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert agent.stop() == 0
    lab.server.act(uri, "fail")
    lab.server.put_deb(Deb("second", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert "Package: second" in lab.packages()
        assert "Package: first" not in lab.packages()


def test_a_second_agent_says_who_is_at_work_and_exits(lab: Stage) -> None:
    with daemon(lab) as agent:
        agent.until_logged("checked")
        told = lab.agent("run", expect=8).stderr
        assert str(agent.process.pid) in told


def test_a_stop_ends_the_publication_that_clients_can_see_half_of(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    hold, watched = lab.directory / "hold", watch(lab.directory, [lab.www])
    # The last pointer of the suite waits; those before it are in place already.
    with daemon(lab, watched.environment(fail="rename", path="bookworm/InRelease", hold=str(hold))) as agent:
        agent.until_logged("checked")
        watched.log.unlink(missing_ok=True)
        hold.touch()
        lab.server.put_deb(Deb("second", "1", "amd64"))
        until = time.monotonic() + DEADLINE_S
        while not any(call.name == "rename" and call.path.endswith("bookworm/InRelease") for call in watched.calls()):
            assert time.monotonic() < until
        agent.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            # Longer than other work may take after a SIGTERM.
            agent.process.wait(5)
        hold.unlink()
        assert agent.stop() == 0
    assert "0 faults" in lab.agent("verify").stdout
    assert "Package: second\n" in lab.packages()


def test_an_interrupted_sync_leaves_what_is_published(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    before = lab.tree()
    with daemon(lab) as agent:
        agent.until_logged("started")
        agent.process.send_signal(signal.SIGINT)
        assert agent.process.wait(60) == 0
    assert lab.tree() == before


def test_a_server_that_is_away_is_waited_for(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    right = lab.config.read_text()
    lab.config.write_text(right.replace(lab.server.url, "http://127.0.0.1:9"))
    with daemon(lab) as agent:
        told = agent.until_logged("waiting")
        assert "127.0.0.1:9" in told
        assert "Package: first" in lab.packages()
        assert agent.stop() == 0
