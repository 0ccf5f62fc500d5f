"""What the log calls an ERROR, `check`, `status`, the metrics and `verify` show: each such state is caused for real."""

import ast
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import packrat_agent
from packrat_agent.config.load import load
from packrat_agent.status.prometheus import render_metrics
from packrat_agent.status.reading import read_status
from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.faked_clock import sync_at
from support.keys import Key, end_gpg_agent, new_key
from support.stage import DEADLINE_S, Daemon, Stage, daemon, new_daemon

FIRST, SECOND = Deb("first", "1", "amd64"), Deb("second", "1", "amd64")

LOGGED = Counter(
    {
        "clock": 1,
        "config": 3,
        "failed": 1,
        "held": 1,
        "metrics": 1,
        # Shown by tests/agent/watch/test_landing_page.py.
        "page": 1,
        "refused": 1,
        "rejected": 1,
        # Of a server, shown below; and at the start, of a key that is not valid yet: tests/crash/test_clock_and_key.py.
        "waiting": 2,
    }
)
"""Word → the places in the source that log it as an ERROR. A new one needs a state below."""


METRICS = {
    "clock": r'repo_dated_ahead\{repo="apt-dev"\} 1',
    "config": "configuration_refused 1",
    "failed": r'(left_out_files|repo_failed\{repo="apt-dev"\}) 1',
    "held": r'repo_held\{repo="apt-dev"\} 1',
    "metrics": "side_faults 1",
    "page": "side_faults 1",
    "refused": "left_out_files 1",
    "rejected": "(left_out_files|rejected_records) 1",
    "waiting": "(failing 1|server_up 0)",
}
"""Word → the figure that shows its state."""


def hold_the_others(lab: Stage, word: str, named: str) -> None:
    """Check that `status`, the metrics and `verify` show the state, too."""
    assert re.search(rf"^! .*{named}", lab.agent("status").stdout, re.M)
    figures = render_metrics(read_status(load(lab.config))).decode()
    assert re.search(rf"^packrat_agent_{METRICS[word]}", figures, re.M), figures
    told = lab.agent("verify", expect=None).stdout
    assert re.search(rf"^~ status: .*{named}", told, re.M), told


def check(lab: Stage, *options: str) -> tuple[int, str]:
    """What `check` ends with and says, of all but this machine's own disk."""
    done = lab.agent("check", "--disk-free", "0", "--key-days", "0", *options, expect=None)
    return done.returncode, done.stdout


def test_the_states_below_are_all_that_the_source_logs() -> None:
    found: Counter[str] = Counter()
    for path in Path(packrat_agent.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr="error"), args=[ast.Constant(word), *_]):
                    found[str(word)] += 1
                case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr="error" | "critical" | "exception")):
                    pytest.fail(f"{path.name}:{node.lineno} logs a word that is put together")
    assert found == LOGGED
    assert set(METRICS) == set(LOGGED)
    running = {word for word, *_ in WHILE_RUNNING.values()}
    assert {state.partition(" ")[0] for state in BY_SYNC} | running | {"page"} == set(LOGGED)


def sql(lab: Stage, *statements: str) -> None:
    engine = open_database(lab.server.data)
    with engine.connect() as connection, connection.begin():
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def refuse_a_file(lab: Stage) -> None:
    sql(lab, "UPDATE package_files SET arch = 'arm64' WHERE package = 'second'")


def break_a_record(lab: Stage) -> None:
    sql(lab, f"UPDATE package_files SET sha256 = '{'z' * 64}' WHERE package = 'second'")


def clash_two_directories(lab: Stage) -> None:
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("other", "apt", "dev", ("bookworm",)))
    admin.save_mirror(engine, "lab", ["apt-dev", "other"])
    engine.dispose()
    sql(lab, "UPDATE repos SET directory = 'apt-dev/below' WHERE name = 'other'")


def lose_the_bytes_of_a_file(lab: Stage) -> None:
    [stored] = [path for path in (lab.server.data / "files").glob("*/*") if path.read_bytes() == build_deb(SECOND)]
    stored.write_bytes(b"!<arch>\nnot what it was")


def offer_nothing(lab: Stage) -> None:
    sql(lab, "DELETE FROM package_file_tags")


def publish_in_the_future(lab: Stage) -> None:
    sync_at(lab, "+3d")


# How the state is caused, what is logged then, and what `check` names.
BY_SYNC: dict[str, tuple[Callable[[Stage], None], str, int]] = {
    "refused": (refuse_a_file, "left out apt-dev: second_1_amd64.deb", 1),
    "rejected": (break_a_record, "left out apt-dev: /api/", 1),
    "rejected of the mirror": (clash_two_directories, "1 record of the mirror can't be used", 2),
    "failed": (lose_the_bytes_of_a_file, "left out apt-dev: second_1_amd64.deb", 1),
    "held": (offer_nothing, "held back: apt-dev", 1),
    "clock": (publish_in_the_future, "dated ahead: apt-dev", 2),
}


SHOWN = {
    "refused": "refused second_1_amd64.deb",
    "rejected": "rejected /api/",
    "rejected of the mirror": "rejected /api/",
    "failed": "failed second_1_amd64.deb",
    "held": "apt-dev: held: ",
    "clock": "apt-dev: it is dated ahead",
}
"""How `status` names each of them."""


@pytest.mark.parametrize("state", BY_SYNC)
def test_an_error_of_a_sync_is_seen_by_check(lab: Stage, state: str) -> None:
    cause, named, code = BY_SYNC[state]
    lab.server.put_deb(FIRST)
    if state != "held":
        lab.agent("sync")
        assert check(lab, "--allow-stopped")[0] == 0
    lab.server.put_deb(SECOND)
    if state == "held":
        lab.agent("sync")
        assert check(lab, "--allow-stopped")[0] == 0
    cause(lab)
    done = lab.agent("sync", expect=None)
    assert re.search(rf"ERROR +{state.split(maxsplit=1)[0]} ", done.stderr), done.stderr
    ended, said = check(lab, "--allow-stopped")
    assert (ended, named in said) == (code, True), said
    hold_the_others(lab, state.partition(" ")[0], SHOWN[state])


def test_a_repository_whose_directory_clashed_is_good_again(lab: Stage) -> None:
    lab.agent("sync")
    clash_two_directories(lab)
    lab.agent("sync", expect=12)
    assert check(lab, "--allow-stopped")[0] == 2
    sql(lab, "UPDATE repos SET directory = 'other' WHERE name = 'other'")
    lab.agent("sync")
    assert check(lab, "--allow-stopped")[0] == 0


@contextmanager
def a_bad_configuration(lab: Stage, agent: Daemon) -> Iterator[None]:
    good = lab.config.read_text()
    lab.config.write_text(good + "nonsense: 1\n")
    agent.process.send_signal(signal.SIGHUP)
    agent.until_logged("the configuration in force stays")
    yield
    lab.config.write_text(good)
    agent.process.send_signal(signal.SIGHUP)
    agent.until_logged("checked", 2)


@contextmanager
def a_configuration_without_its_key(lab: Stage, agent: Daemon) -> Iterator[None]:
    good = lab.config.read_text()
    assert lab.key is not None
    lab.config.write_text(good.replace(lab.key.fingerprint, "0" * 40))
    agent.process.send_signal(signal.SIGHUP)
    agent.until_logged("the configuration before it stays in force")
    agent.until_logged("checked", 2)
    yield
    lab.config.write_text(good)
    agent.process.send_signal(signal.SIGHUP)
    agent.until_logged("checked", 3)


@contextmanager
def figures_that_can_not_be_written(lab: Stage, agent: Daemon) -> Iterator[None]:
    good = lab.config.read_text()
    lab.config.write_text(f"{good}metrics_file: {lab.directory}/nowhere/packrat.prom\n")
    agent.process.send_signal(signal.SIGHUP)
    agent.until_logged("metrics ")
    yield
    lab.config.write_text(good)
    agent.process.send_signal(signal.SIGHUP)
    agent.until_logged("started", 3)


@contextmanager
def a_lost_root_dir(lab: Stage, agent: Daemon) -> Iterator[None]:
    away = lab.directory / "away"
    lab.www.rename(away)
    lab.www.mkdir()
    lab.server.put_deb(SECOND)
    agent.until_logged("waiting")
    yield
    lab.www.rmdir()
    away.rename(lab.www)
    agent.until_logged("recovered")
    agent.until_logged("published repo=apt-dev", 2)


@contextmanager
def a_key_that_is_gone(lab: Stage, agent: Daemon) -> Iterator[None]:
    assert lab.key is not None
    [secret] = (lab.key.home / "private-keys-v1.d").iterdir()
    shutil.move(secret, lab.directory / secret.name)
    end_gpg_agent(lab.key.home)
    lab.server.put_deb(SECOND)
    agent.until_logged("failed repo=apt-dev")
    yield
    shutil.move(lab.directory / secret.name, secret)
    lab.server.put_deb(Deb("third", "1", "amd64"))
    agent.until_logged("published repo=apt-dev", 2)


# The log's word, what `check` names, its code.
WHILE_RUNNING: dict[Callable[..., AbstractContextManager[None]], tuple[str, str, int]] = {
    a_bad_configuration: ("config", "nonsense", 1),
    a_configuration_without_its_key: ("config", "is not in", 1),
    figures_that_can_not_be_written: ("metrics", "nowhere/packrat.prom can't be written", 1),
    a_lost_root_dir: ("waiting", "the agent can't work", 2),
    a_key_that_is_gone: ("failed", "can't be built", 2),
}


@pytest.fixture
def own_key() -> Iterator[Key]:
    """A key that a test may lose."""
    with new_key("Own <own@example.com>") as key:
        yield key


@pytest.mark.parametrize("state", WHILE_RUNNING, ids=lambda state: state.__name__)
def test_an_error_of_a_running_agent_is_seen_by_check_until_it_is_over(
    lab: Stage, own_key: Key, state: Callable[..., AbstractContextManager[None]]
) -> None:
    word, named, code = WHILE_RUNNING[state]
    lab.key = own_key
    lab.write_config()
    good = lab.config.read_text()
    watched = Stage(lab.directory, lab.server, lab.psk, own_key)
    lab.server.put_deb(FIRST)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert check(lab)[0] == 0
        with state(lab, agent):
            assert re.search(rf"ERROR +{word} ", agent.log), agent.log
            broken = lab.config.read_text()
            # Who watches has a configuration that can be read.
            lab.config.write_text(good)
            ended, said = check(watched)
            lab.config.write_text(broken)
            assert (ended, named in said) == (code, True), said
            lab.config.write_text(good)
            hold_the_others(lab, word, "" if named == "can't be built" else named)
            lab.config.write_text(broken)
        # A sync notes how it went a moment after it has told what it published.
        until = time.monotonic() + DEADLINE_S
        while (checked := check(watched))[0]:
            assert time.monotonic() < until, checked
        assert agent.stop() == 0


def test_a_server_that_says_no_is_seen_at_once(lab: Stage) -> None:
    lab.agent("sync")
    lab.psk = "another"
    lab.write_config()
    with daemon(lab) as agent:
        agent.until_logged("waiting")
        assert re.search(r"ERROR +waiting ", agent.log), agent.log
        ended, said = check(lab)
        assert (ended, "the agent can't work: the server refuses to log in" in said) == (2, True), said


AWAY = """
import sys
from packrat_agent.watch import outage_log
from packrat_agent.cli import main as cli
outage_log.AWAY_WARNING_S = 2
sys.argv = ["packrat-agent", *sys.argv[1:]]
cli.main()
"""


def test_a_server_that_is_away_is_a_warning_first_and_an_error_when_check_warns(lab: Stage) -> None:
    lab.agent("sync")
    lab.server.url = "http://127.0.0.1:9"
    lab.write_config()
    command = [sys.executable, "-c", AWAY, "--config", str(lab.config), "run"]
    with new_daemon(command) as agent:
        told = agent.until_logged("waiting")
        assert re.search(r"WARNING +waiting ", told), told
        assert "ERROR" not in told.partition("waiting")[0]
        # It was there an hour ago, but nothing says that this agent was ever able to reach it.
        ended, said = check(lab)
        assert (ended, "has not answered since the agent started: " in said) == (1, True), said
        told = agent.until_logged("waiting", 2)
        assert re.search(r"ERROR +waiting ", told), told
        ended, said = check(lab, "--max-away", "2:3600")
        assert (ended, "has been away" in said) == (1, True), said


def test_a_kept_public_key_that_is_not_the_signing_keys_is_reported_until_it_is(lab: Stage) -> None:
    """`repo-key` in keep_file_list, as the original agent's instructions have it, and a new key."""
    assert lab.key is not None
    kept = lab.www / "repo-key"
    lab.extra = {"keep_file_list": str(kept)}
    lab.write_config()
    lab.www.mkdir()
    with new_key("Former <former@example.com>") as former:
        for key in (former, lab.key):
            command = ["gpg", "--homedir", str(key.home), "--batch", "--yes", "--armor", "--output", str(kept)]
            subprocess.run([*command, "--export", key.fingerprint], check=True, capture_output=True)
            is_former = key is former
            for _ in range(2):
                logged = lab.agent("sync", *(["--adopt"] if is_former else [])).stderr
                told = "repo-key, which keep_file_list keeps, is not the signing key's"
                assert (told in logged) == is_former, logged
                ended, said = check(lab, "--allow-stopped")
                assert (ended, told in said) == (int(is_former), is_former), said
                assert (f"! {told}" in lab.agent("status").stdout) == is_former
                figures = render_metrics(read_status(load(lab.config))).decode()
                assert f"packrat_agent_kept_key_stale {float(is_former)}" in figures


def test_a_kept_public_key_that_nobody_has_exported_is_reported_until_it_is(lab: Stage) -> None:
    """With the original agent's instructions, `repo-key` stands in keep_file_list before it is exported."""
    assert lab.key is not None
    kept = lab.www / "repo-key"
    lab.extra = {"keep_file_list": str(kept)}
    lab.write_config()
    told = "repo-key, which keep_file_list keeps, is missing"
    for is_missing in (True, False):
        assert (told in lab.agent("sync").stderr) == is_missing
        ended, said = check(lab, "--allow-stopped")
        assert (ended, told in said) == (int(is_missing), is_missing), said
        kept.write_bytes((lab.www / "repo-key.gpg").read_bytes())
