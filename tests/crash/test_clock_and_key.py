"""A clock that jumps, a key that expires under way, a state database that is copied, two agents on one directory."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packrat_agent.state.facts import FailedStart, Failure
from packrat_agent.state.store import Store
from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_deb import Deb
from packrat_demo.private_apt import PrivateApt
from support.faked_clock import sync_at
from support.keys import Key, gnupg_home, make_key
from support.stage import DEADLINE_S, Daemon, Stage, daemon, stage
from support.web import web_server

FIRST = Deb("first", "1", "amd64")
SECOND = Deb("second", "1", "amd64")


@pytest.fixture
def home() -> Iterator[Path]:
    """A GNUPGHOME with a short path."""
    with gnupg_home() as made:
        yield made


def is_expired(key: Key) -> bool:
    """Whether gpg says so."""
    gpg = ["gpg", "--homedir", str(key.home), "--batch", "--list-keys", "--with-colons", key.fingerprint]
    said = subprocess.run(gpg, check=True, capture_output=True, text=True).stdout
    return any(line.startswith("pub:e:") for line in said.splitlines())


def date(lab: Stage) -> datetime:
    """The Date of the published suite."""
    found = re.search(r"^Date: (.+) UTC$", (lab.repo / "dists/bookworm/Release").read_text(), re.MULTILINE)
    assert found is not None
    return datetime.strptime(found[1], "%a, %d %b %Y %H:%M:%S")


@contextmanager
def served(tmp_path: Path, home: Path) -> Iterator[tuple[Stage, PrivateApt]]:
    """A mirror with one package, signed by an old key, and an apt that uses it."""
    key = make_key(home, "Old <old@example.com>", faked_time="20200101T000000")
    with stage(tmp_path, key) as lab:
        lab.server.put_deb(FIRST)
        lab.agent("sync")
        with web_server(lab.www) as url:
            keyring = tmp_path / "mirror.gpg"
            keyring.write_bytes(urllib.request.urlopen(f"{url}/repo-key.gpg", timeout=DEADLINE_S).read())
            yield lab, PrivateApt(tmp_path / "apt", f"deb [signed-by={keyring}] {url}/apt-dev bookworm main\n")


def test_a_clock_a_year_back_does_not_stop_the_clients(tmp_path: Path, home: Path) -> None:
    with served(tmp_path, home) as (lab, apt):
        apt.run("update")
        before = date(lab)
        modified = (lab.repo / "dists/bookworm/InRelease").stat().st_mtime
        lab.server.put_deb(SECOND)
        sync_at(lab, "-365d")
        assert date(lab) > before
        assert (lab.repo / "dists/bookworm/InRelease").stat().st_mtime > modified
        said = apt.run("update")
        assert (said.exit_code, "W:" in said.output) == (0, False), said.output
        assert "second" in apt.run("install", "--simulate", "second").output


def test_a_clock_a_year_ahead_takes_nothing_away_that_is_named(tmp_path: Path, home: Path) -> None:
    key = make_key(home, "Old <old@example.com>", faked_time="20200101T000000")
    with stage(tmp_path, key) as lab:
        for number in range(12):
            lab.server.put_deb(Deb(f"package-{number}", "1", "all"))
        lab.agent("sync")
        before = set(lab.tree())
        sync_at(lab, "+365d")
        assert set(lab.tree()) == before
        lab.server.put_deb(SECOND)
        lab.agent("sync")
        assert before <= set(lab.tree())
        assert "Package: second" in lab.packages()
        assert verify_tree(lab.www, None, lambda files, size: None).faults == ()


def test_dates_of_a_clock_that_was_ahead_can_be_set_right(tmp_path: Path, home: Path) -> None:
    with served(tmp_path, home) as (lab, apt):
        assert apt.run("update").exit_code == 0
        lab.server.put_deb(SECOND)
        sync_at(lab, "+365d")
        assert "is not valid yet" in apt.run("update").output
        told = lab.agent("sync")
        assert "clock repo=apt-dev" in told.stderr
        assert "! apt-dev: it is dated ahead of this host's clock" in told.stdout
        assert "--trust-clock" in lab.agent("status", expect=None).stdout
        assert "CRITICAL" in lab.agent("check", "--allow-stopped", "--disk-free", "0", expect=2).stdout
        assert "is not valid yet" in apt.run("update").output
        with daemon(lab) as agent:
            agent.until_logged("checked")
            lab.agent("sync", "--trust-clock")
            agent.until_logged("published repo=apt-dev")
            # apt goes on with the file that it refused, by a date of whole seconds, and all this is over in one.
            for refused in (tmp_path / "apt/state/lists/partial").glob("*InRelease"):
                refused.unlink()
            said = apt.run("update")
            assert (said.exit_code, "W:" in said.output) == (0, False), said.output
            assert "second" in apt.run("install", "--simulate", "second").output
            assert agent.stop() == 0
        before = lab.tree()
        for command in ("sync", "status"):
            assert "! apt-dev" not in lab.agent(command, expect=None).stdout
        assert lab.tree() == before


def test_an_agent_that_starts_before_the_clock_is_set_waits_for_its_key(tmp_path: Path, home: Path) -> None:
    with stage(tmp_path, None) as lab:
        lab.server.put_deb(FIRST)
        made = datetime.now(UTC) + timedelta(seconds=15)
        lab.key = make_key(home, "Tomorrow <tomorrow@example.com>", faked_time=f"{made:%Y%m%dT%H%M%S}")
        lab.write_config()
        assert "set that clock" in lab.agent("sync", expect=6).stderr
        systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        systemd.bind(str(home / "notify"))
        systemd.settimeout(DEADLINE_S)
        with systemd, daemon(lab, {**os.environ, "NOTIFY_SOCKET": str(home / "notify")}) as agent:
            assert "set that clock" in agent.until_logged("waiting ")
            assert "not running" in lab.agent("check", expect=2).stdout
            # Else systemd would end it after TimeoutStartSec.
            assert "set that clock" in systemd.recv(4096).decode()
            assert systemd.recv(4096).startswith(b"EXTEND_TIMEOUT_USEC=")
            told = agent.until_logged("checked ")
            assert told.count("waiting ") == 1
            assert "Package: first" in lab.packages()
        lab.agent("verify")


def test_a_key_of_the_future_in_a_changed_configuration_keeps_no_agent_from_its_work(
    tmp_path: Path, home: Path
) -> None:
    with stage(tmp_path, make_key(home, "Today <today@example.com>")) as lab:
        lab.server.put_deb(FIRST)
        with daemon(lab) as agent:
            agent.until_logged("checked ")
            made = datetime.now(UTC) + timedelta(days=1)
            lab.key = make_key(home, "Tomorrow <tomorrow@example.com>", faked_time=f"{made:%Y%m%dT%H%M%S}")
            lab.write_config()
            agent.process.send_signal(signal.SIGHUP)
            told = agent.until_logged("the configuration before it stays in force")
            assert "set that clock" in told
            agent.until_logged("started", 2)
            lab.server.put_deb(SECOND)
            agent.until_logged("published", 2)
            assert "Package: second" in lab.packages()
            assert agent.stop() == 0


@contextmanager
def signing_for_a_while(lab: Stage, home: Path) -> Iterator[tuple[Daemon, Key]]:
    """Run an agent whose key expires soon, but after the first full sync, however long this machine takes for that."""
    for life_s in (12, 40, 120):
        key = lab.key = make_key(home, f"Short {life_s} <short@example.com>", expires=f"seconds={life_s}")
        lab.write_config()
        with daemon(lab) as agent:
            while agent.process.poll() is None:
                is_checked = "checked" in agent.log
                if is_expired(key):
                    break
                if is_checked:
                    yield agent, key
                    return
                threading.Event().wait(0.1)
    pytest.fail("no key lasted until the end of the first full sync")


def test_a_key_that_expires_under_way_leaves_what_is_published_and_shows(tmp_path: Path, home: Path) -> None:
    with stage(tmp_path, None) as lab:
        lab.server.put_deb(FIRST)
        with signing_for_a_while(lab, home) as (agent, key):
            before = lab.tree()
            deadline = time.monotonic() + DEADLINE_S * 3
            while not is_expired(key):
                assert time.monotonic() < deadline
                threading.Event().wait(0.1)
            lab.server.put_deb(SECOND)
            assert "expire" in agent.until_logged("failed repo=apt-dev")
            assert {path: seen for path, seen in lab.tree().items() if path in before} == before
            assert "Package: second" not in lab.packages()
            status = lab.agent("status", expect=None).stdout
            assert "expired on" in status
            assert "key expired" in lab.agent("check", "--disk-free", "0", expect=None).stdout
            assert agent.process.poll() is None


def test_a_key_that_is_extended_is_published_and_told_without_a_restart(tmp_path: Path, home: Path) -> None:
    key = make_key(home, "Renewed <renewed@example.com>", expires="20d")
    with stage(tmp_path, key) as lab, daemon(lab) as agent:
        agent.until_logged("checked ")
        before = (lab.www / "repo-key.gpg").read_bytes()
        assert "key expires" in lab.agent("check", "--disk-free", "0", expect=1).stdout
        gpg = ["gpg", "--homedir", str(home), "--batch"]
        # Another subkey is for the operator to bring to the clients first.
        subprocess.run([*gpg, "--passphrase", "", "--quick-add-key", key.fingerprint, "ed25519", "sign"], check=True)
        lab.agent("sync")
        agent.until_logged("checked ", 2)
        assert (lab.www / "repo-key.gpg").read_bytes() == before
        script = "key 1\ndelkey\ny\nsave\n"
        subprocess.run([*gpg, "--command-fd", "0", "--edit-key", key.fingerprint], input=script.encode(), check=True)
        subprocess.run([*gpg, "--quick-set-expire", key.fingerprint, "1y"], check=True)
        lab.agent("sync")
        agent.until_logged("started", 2)
        agent.until_logged("checked ", 3)
        assert (lab.www / "repo-key.gpg").read_bytes() != before
        assert lab.agent("check", "--disk-free", "0", "--allow-plain-http").stdout.startswith("PACKRAT OK")
        assert verify_tree(lab.www, None, lambda files, size: None).faults == ()
        assert agent.stop() == 0


def test_a_key_that_is_extended_beside_one_that_can_not_be_used_ends_no_agent(tmp_path: Path, home: Path) -> None:
    key = make_key(home, "Renewed <renewed@example.com>", expires="20d")
    upcoming = make_key(home, "Next <next@example.com>")
    with stage(tmp_path, key, extra={"gpg_next_key": upcoming.fingerprint}) as lab, daemon(lab) as agent:
        agent.until_logged("checked ")
        gpg = ["gpg", "--homedir", str(home), "--batch", "--yes"]
        subprocess.run([*gpg, "--delete-secret-keys", upcoming.fingerprint], check=True)
        subprocess.run([*gpg, "--quick-set-expire", key.fingerprint, "1y"], check=True)
        lab.agent("sync")
        assert "not in force until all keys can be used" in agent.until_logged("checked ", 2)
        assert agent.stop() == 0


def test_a_key_that_is_extended_hides_no_configuration_that_was_refused(tmp_path: Path, home: Path) -> None:
    key = make_key(home, "Renewed <renewed@example.com>", expires="200d")
    with stage(tmp_path, key) as lab, daemon(lab) as agent:
        agent.until_logged("checked ")
        lab.config.write_text(lab.config.read_text().replace(key.fingerprint, "0" * 40))
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("the configuration before it stays in force")
        agent.until_logged("checked ", 2)
        gpg = ["gpg", "--homedir", str(home), "--batch"]
        subprocess.run([*gpg, "--quick-set-expire", key.fingerprint, "1y"], check=True)
        lab.agent("sync")
        agent.until_logged("its public key is published again")
        agent.until_logged("checked ", 3)
        said = lab.agent("check", "--disk-free", "0", expect=1).stdout
        assert "the configuration that it was told to read can't be used" in said
        assert agent.stop() == 0


def test_a_key_that_is_lost_from_the_configuration_takes_no_signature_away(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    key, before = lab.key, lab.tree()
    assert key is not None
    lab.key = None
    lab.write_config()
    lab.server.put_deb(SECOND)
    for arguments in (["sync"], ["sync", "--dry-run"], ["run"]):
        told = lab.agent(*arguments, expect=6).stderr
        assert "names no gpg_sign_key for apt-dev" in told
        assert "`gpg_sign_key: none`" in told
    assert "the agent can't work: " in lab.agent("check", "--allow-stopped", expect=2).stdout
    assert f"{key.fingerprint} has signed what is published: no sync starts" in lab.agent("doctor", expect=None).stdout
    assert lab.tree() == before
    lab.config.write_text(f"{lab.config.read_text()}\n[repo apt-dev]\ngpg_sign_key: {key.fingerprint}\n")
    lab.config.write_text(lab.config.read_text().replace("[mirror]\n", f"[mirror]\ngnupg_home: {key.home}\n"))
    lab.agent("sync")
    assert (lab.repo / "dists/bookworm/InRelease").exists()
    lab.write_config()
    assert "apt-dev" in lab.agent("sync", expect=6).stderr
    assert f"{key.fingerprint} has signed what is published: no sync starts" in lab.agent("doctor", expect=None).stdout
    lab.extra = {"gpg_sign_key": "None"}
    lab.write_config()
    assert "gpg_sign_key: none" in lab.agent("config").stdout
    assert "unsigned" not in lab.agent("sync").stderr
    assert "can't work" not in lab.agent("check", "--allow-stopped", expect=None).stdout
    assert "gpg_sign_key is `none` in [mirror]: nothing is signed" in lab.agent("doctor", expect=None).stdout
    assert not (lab.repo / "dists/bookworm/InRelease").exists()
    lab.extra = {}
    lab.write_config()
    lab.agent("sync")


def test_what_an_agent_failed_by_before_its_restart_is_not_told_for_ever(lab: Stage) -> None:
    lab.agent("sync")
    store = Store(lab.directory / "state/state.db")
    store.facts.write(Failure(time.time(), "the server refused the login"))
    store.facts.write(FailedStart(time.time(), "the key was lost"))
    store.close()
    assert "the key was lost" in lab.agent("check", "--allow-stopped", expect=2).stdout
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert "can't work" not in lab.agent("check", expect=None).stdout
        assert agent.stop() == 0


def test_a_copied_state_database_wipes_no_other_directory(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    before = lab.tree()
    shutil.copytree(lab.directory / "state", lab.directory / "copied")
    text = lab.config.read_text().replace(str(lab.directory / "state"), str(lab.directory / "copied"))
    # Another directory, with somebody's files in it, then an empty one.
    other = lab.directory / "other"
    other.mkdir()
    (other / "precious").write_text("mine")
    lab.config.write_text(text.replace(str(lab.www), str(other)))
    assert "precious" in lab.agent("sync", expect=9).stderr
    assert (other / "precious").read_text() == "mine"
    (other / "precious").unlink()
    assert "mount its filesystem" in lab.agent("sync", expect=7).stderr
    lab.agent("sync", "--adopt")
    assert verify_tree(other, None, lambda files, size: None).faults == ()
    assert lab.tree() == before


def test_two_agents_with_states_of_their_own_don_t_share_a_directory(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        before = lab.tree()
        text = lab.config.read_text()
        lab.config.write_text(text.replace(str(lab.directory / "state"), str(lab.directory / "own")))
        said = lab.agent("sync", "--adopt", expect=8).stderr
        assert str(agent.process.pid) in said
        assert lab.tree() == before
        lab.config.write_text(text.replace(str(lab.www), str(lab.directory / "other")))
        assert str(agent.process.pid) in lab.agent("sync", "--adopt", expect=8).stderr
        assert not (lab.directory / "other").exists() or not list((lab.directory / "other").glob("apt-dev"))
