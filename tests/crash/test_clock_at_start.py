"""A machine that starts with a wrong clock, until NTP sets it: the agent waits for its key, and hears SIGHUP."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from support.keys import Key, gnupg_home, make_key
from support.stage import Daemon, Stage, new_daemon, stage

FIRST = Deb("first", "1", "amd64")


@pytest.fixture
def home() -> Iterator[Path]:
    """A GNUPGHOME with a short path."""
    with gnupg_home() as made:
        yield made


@contextmanager
def daemon_on_machine_up_for(seconds: int, lab: Stage) -> Iterator[Daemon]:
    """Run the agent where the machine seems to have started so long ago."""
    offset = seconds - int(time.clock_gettime(time.CLOCK_BOOTTIME))
    command = ["unshare", "--time", f"--boottime={offset}", "--", *lab.command("run")]
    with new_daemon(command) as agent:
        yield agent


def expired_key(home: Path) -> Key:
    """A key that is expired, as any is by a clock that is years ahead."""
    return make_key(home, "Old <old@example.com>", expires="1d", faked_time="20200101T000000")


def extend(key: Key) -> None:
    """Make it valid, as it is once the clock is set."""
    gpg = ["gpg", "--homedir", str(key.home), "--batch", "--quick-set-expire", key.fingerprint, "never"]
    subprocess.run(gpg, check=True)


def test_an_agent_waits_for_a_clock_that_may_be_ahead(tmp_path: Path, home: Path) -> None:
    key = expired_key(home)
    with stage(tmp_path, key) as lab:
        lab.server.put_deb(FIRST)
        with daemon_on_machine_up_for(5, lab) as agent:
            assert "is expired" in agent.until_logged("waiting ")
            assert "not running" in lab.agent("check", expect=2).stdout
            extend(key)
            assert agent.until_logged("checked ").count("waiting ") == 1
            assert "Package: first" in lab.packages()
            assert agent.stop() == 0


def test_a_key_is_expired_for_good_where_the_machine_has_run_for_long(tmp_path: Path, home: Path) -> None:
    with stage(tmp_path, expired_key(home)) as lab, daemon_on_machine_up_for(700, lab) as agent:
        assert agent.process.wait(60) == 6


def test_a_reload_while_the_agent_waits_is_in_force_at_once(tmp_path: Path, home: Path) -> None:
    made = datetime.now(UTC) + timedelta(days=1)
    with stage(tmp_path, make_key(home, "Tomorrow <a@example.com>", faked_time=f"{made:%Y%m%dT%H%M%S}")) as lab:
        lab.server.put_deb(FIRST)
        with daemon_on_machine_up_for(700, lab) as agent:
            agent.until_logged("waiting ")
            lab.config.write_text(lab.config.read_text().replace("[mirror]", "[mirrors]"))
            agent.process.send_signal(signal.SIGHUP)
            agent.until_logged("the configuration in force stays")
            lab.key = make_key(home, "Today <today@example.com>")
            lab.write_config()
            agent.process.send_signal(signal.SIGHUP)
            agent.until_logged("checked ")
            assert "Package: first" in lab.packages()
            assert "can't be used" not in lab.agent("check", "--disk-free", "0", expect=None).stdout
            assert agent.stop() == 0


def test_a_reload_with_the_same_key_waits_for_the_clock_too(tmp_path: Path, home: Path) -> None:
    key = expired_key(home)
    with stage(tmp_path, key) as lab, daemon_on_machine_up_for(5, lab) as agent:
        lab.server.put_deb(FIRST)
        agent.until_logged("waiting ")
        lab.extra["public_url"] = "http://mirror.example.com"
        lab.write_config()
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("read again")
        extend(key)
        assert "stays in force" not in agent.until_logged("checked ")
        assert "http://mirror.example.com/" in (lab.www / "index.html").read_text()
        assert agent.stop() == 0


def test_a_reload_that_can_not_start_leaves_the_wait_to_the_configuration_before(tmp_path: Path, home: Path) -> None:
    key = expired_key(home)
    with stage(tmp_path, key) as lab, daemon_on_machine_up_for(5, lab) as agent:
        lab.server.put_deb(FIRST)
        agent.until_logged("waiting ")
        config = lab.config.read_text()
        lab.config.write_text(config.replace(key.fingerprint, "0123456789ABCDEF"))
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("the configuration before it stays in force")
        extend(key)
        agent.until_logged("checked ")
        assert "Package: first" in lab.packages()
        assert "0123456789ABCDEF" in lab.agent("check", expect=None).stdout
        assert agent.stop() == 0
