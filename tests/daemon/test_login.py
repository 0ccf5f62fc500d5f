"""A psk that the server refuses: the original server, which has no users for mirrors, and those that demand a login."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from support.keys import Key
from support.original_server import OriginalServer, original_server
from support.proxy import running_proxy
from support.stage import Server, Stage, daemon

MISSION = """\
[packrat]
host: {host}
name: prod
psk: prod_psk
proxy: {proxy}/
[mirror]
description: prod-mirror
root_dir: {directory}/www
gpg_sign_key: {key}
state_db: {directory}/state/state.db
full_sync_interval: 900
keep_file_list: {directory}/www/repo-key
"""
"""The original's example with other addresses, directories and another key."""


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        deb = Deb("first", "1", "all")
        server.put("first", "1", deb.file_name, build_deb(deb))
        yield server


@pytest.fixture
def mirror(tmp_path: Path, original: OriginalServer) -> Stage:
    made = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
    made.write_config()
    return made


def told_by(mirror: Stage) -> tuple[str, str, str | None]:
    """The log level of `anonymous` and what check says of a sync's work; what status --json says of the login."""
    log = mirror.agent("sync").stderr
    verdict = mirror.agent("check", "--allow-stopped", "--disk-free", "0", expect=None).stdout
    login = json.loads(mirror.agent("status", "--json").stdout)["server"]["login_refused"]
    level = re.search(r"(\w+) +anonymous ", log)
    return level[1] if level else "", verdict.split(" - ")[0], login


def test_the_originals_example_works_with_the_original_server(
    tmp_path: Path, original: OriginalServer, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    original.mirror = "prod"
    monkeypatch.setenv("GNUPGHOME", str(key.home))
    mirror = Stage(tmp_path, Server(tmp_path, "", original.url), "prod_psk", key)
    with running_proxy() as proxy:
        mirror.config.write_text(
            MISSION.format(host=original.url, proxy=proxy.url, directory=tmp_path, key=key.fingerprint[-8:])
        )
        mirror.config.chmod(0o640)
        done = mirror.agent("sync")
    assert re.search(r"WARNING anonymous reason=.*400, Invalid Login", done.stderr)
    assert "Package: first" in mirror.packages()
    assert (mirror.repo / "dists/bookworm/InRelease").exists()
    assert original.count("(login)") == 1
    shown = mirror.agent("status").stdout
    assert re.search(r"login +refused for .*, the mirror is read without one: .*Invalid Login", shown)
    checked = mirror.agent("check", "--allow-stopped", "--disk-free", "0", expect=1).stdout
    assert checked.startswith("PACKRAT WARNING - the mirror is read without a login: ")
    assert "prod_psk" not in done.stderr + shown + checked


def test_the_warning_goes_when_the_login_succeeds_or_the_psk_is_removed(
    original: OriginalServer, mirror: Stage
) -> None:
    level, verdict, login = told_by(mirror)
    assert (level, verdict) == ("WARNING", "PACKRAT WARNING")
    assert login is not None
    # Each start says so again.
    assert told_by(mirror)[0] == "WARNING"
    original.users["lab"] = "lab_psk"
    assert told_by(mirror) == ("", "PACKRAT OK", None)
    original.users.clear()
    assert told_by(mirror)[1] == "PACKRAT WARNING"
    mirror.config.write_text(mirror.config.read_text().replace("psk: lab_psk\n", ""))
    assert told_by(mirror) == ("", "PACKRAT OK", None)


def test_a_server_that_shows_nothing_without_a_login_is_reported_with_both_causes(
    original: OriginalServer, mirror: Stage
) -> None:
    original.manners.closed = True
    told = mirror.agent("sync", expect=4).stderr.splitlines()[-1]
    assert "400, Invalid Login" in told
    assert "401, Invalid Session" in told
    assert "check name and psk in [packrat]" in told
    assert original.count("(login)") == 1


def test_a_mirror_that_the_server_does_not_have_is_reported_with_both_causes(
    original: OriginalServer, mirror: Stage
) -> None:
    original.mirror = "another"
    told = mirror.agent("sync", expect=4).stderr.splitlines()[-1]
    assert "400, Invalid Login" in told
    assert "404" in told


def test_our_own_server_with_a_wrong_psk_is_reported_with_both_causes(lab: Stage) -> None:
    lab.psk = "wrong"
    lab.write_config()
    told = lab.agent("sync", expect=4).stderr.splitlines()[-1]
    assert "Invalid Login" in told
    assert "without a login it refuses too" in told
    assert told.count("check name and psk") == 1
    assert "read without" not in lab.agent("check", "--allow-stopped", "--disk-free", "0", expect=None).stdout


@pytest.mark.parametrize("mood", ["gone", "html", "busy"])
def test_a_server_that_is_ill_is_no_reason_to_go_on_without_a_login(
    original: OriginalServer, mirror: Stage, mood: str
) -> None:
    original.login_status = {"gone": 500, "html": 502, "busy": 429}[mood]
    mirror.agent("sync", expect=3)
    assert original.count("GET /api/v2/Repo/Mirror") == 0
    assert json.loads(mirror.agent("status", "--json").stdout)["server"]["login_refused"] is None


def test_a_refusal_by_something_in_front_is_no_reason_to_go_on_without_a_login(
    original: OriginalServer, mirror: Stage
) -> None:
    original.login_status = 403
    told = mirror.agent("sync", expect=4).stderr
    assert "not the packrat API that said so" in told
    assert original.count("GET /api/v2/Repo/Mirror") == 0


@pytest.mark.parametrize(("status", "value"), [(403, {"message": "No"}), (400, {"password": "Invalid Value"})])
def test_each_kind_of_refusal_leads_to_a_try_without_a_login(
    original: OriginalServer, mirror: Stage, status: int, value: dict[str, str]
) -> None:
    original.login_status, original.login_value = status, value
    assert told_by(mirror)[0] == "WARNING"


def test_run_tries_the_psk_at_the_start_and_at_each_full_sync(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        assert original.count("(login)") == 1
        # Neither a new connection nor any question makes it send the psk.
        original.stop()
        agent.until_logged("WARNING waiting")
        original.start()
        agent.until_logged("recovered")
        original.until_asked(2, "(poll)")
        assert original.count("(login)") == 1
        mirror.agent("sync")
        agent.until_logged("checked", 2)
        assert original.count("(login)") == 2
        assert agent.log.count(" anonymous ") == 1
        original.users["lab"] = "lab_psk"
        mirror.agent("sync")
        agent.until_logged("checked", 3)
        assert "INFO    login" in agent.log
        assert original.count("(login)") == 3
        mirror.agent("check", "--disk-free", "0", expect=0)
        assert agent.stop() == 0


def test_a_server_that_begins_to_demand_a_login_is_logged_in_to(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        original.manners.closed = True
        agent.until_logged("ERROR   waiting")
        assert "401, Invalid Session" in agent.log
        original.users["lab"] = "lab_psk"
        agent.until_logged("recovered")
        mirror.agent("check", "--disk-free", "0", expect=0)


def test_a_psk_that_is_refused_later_is_no_reason_to_stop(original: OriginalServer, mirror: Stage) -> None:
    original.users["lab"] = "lab_psk"
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        original.users.clear()
        original.revoke()
        agent.until_logged("WARNING anonymous")
        deb = Deb("second", "1", "all")
        original.put("second", "1", deb.file_name, build_deb(deb))
        agent.until_logged("published repo=apt-dev", 2)
        assert "Package: second" in mirror.packages()
        assert "waiting" not in agent.log
