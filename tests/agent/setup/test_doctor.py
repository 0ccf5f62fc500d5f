"""`packrat-agent doctor`: nothing found where all is well; each thing that is wrong is found, with what to do."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.setup.account import Account, find_account
from packrat_agent.setup.doctor.serving import look_at_site
from packrat_agent.setup.doctor.state import judge_disk
from packrat_agent.status.reading import read_status
from packrat_agent.status.values import Disk
from packrat_core.errors import ConfigError, ServerRefused
from packrat_core.fs.ownership import user_name
from support.every_type import fill, mirror_of_all
from support.faked_clock import at_moment
from support.keys import Key, end_gpg_agent, make_key
from support.ports import held_port
from support.stage import Stage, daemon
from support.web_servers import start_apache, start_nginx


@dataclass(frozen=True, slots=True)
class _Served:
    """A running mirror with a repository of every type, whose public_url is a port of this machine."""

    lab: Stage
    port: int

    def site_file(self, server: str) -> str:
        # The only site of its web server, so it answers for every host.
        return self.lab.agent("site", server, "--host", "repo.example.com").stdout

    @contextmanager
    def by(self, server: str, edit: Callable[[str], str] = lambda text: text) -> Iterator[None]:
        start, ready = {"nginx": start_nginx, "apache": start_apache}[server], ""
        process, ready = start(edit(self.site_file(server)), self.lab.directory, self.port)
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if ready in line:
                break
        assert process.poll() is None, told
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def found(self) -> dict[str, list[str]]:
        """What is wrong with the site, by level."""
        config = load(self.lab.config)
        found: dict[str, list[str]] = {}
        for finding in look_at_site(config, read_status(config).repos):
            found.setdefault(finding.level.value, []).append(finding.text)
        return found


@pytest.fixture(scope="module")
def served(rsa_key: Key) -> Iterator[_Served]:
    # Web servers work as users of their own, who can't read pytest's directories.
    directory = Path(tempfile.mkdtemp(prefix="doctor-", dir="/tmp"))
    directory.chmod(0o755)
    (directory / "log").mkdir()
    with held_port() as port, mirror_of_all(directory, rsa_key) as lab:
        lab.extra["public_url"] = f"http://localhost:{port}"
        lab.write_config()
        fill(lab)
        lab.agent("sync")
        with daemon(lab) as running:
            running.until_logged("checked")
            yield _Served(lab, port)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("server", ["nginx", "apache"])
def test_nothing_is_found_where_all_is_well(served: _Served, server: str) -> None:
    # What somebody has put beside the packages has no rule in the site file; the next full sync removes it.
    theirs = [served.lab.www / f"apt-dev/pool/{number}/a.notadeb" for number in range(20)]
    for path in theirs:
        path.parent.mkdir()
        path.write_text("theirs")
    with served.by(server):
        # A new process on a machine without rpm, whose libraries say so as they are loaded.
        environment = {**os.environ, "RPM_CONFIGDIR": "/nonexistent"}
        done = subprocess.run(
            served.lab.command("doctor", "--json"), env=environment, capture_output=True, text=True, check=False
        )
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    for path in theirs:
        path.unlink()
        path.parent.rmdir()
    wrong = [finding for finding in told["findings"] if finding["level"] != "ok"]
    assert (told["faults"], wrong) == (0, [])
    assert {finding["topic"] for finding in told["findings"]} >= {"config", "key", "server", "clock", "disk", "site"}


def test_a_site_that_nobody_serves_is_a_fault_with_what_to_do(served: _Served) -> None:
    done = served.lab.agent("doctor", expect=1)
    assert re.search(rf"^fault +site: http://localhost:{served.port}/index.html can't be fetched", done.stdout, re.M)
    assert "-> see whether the web server runs" in done.stdout
    assert "1 fault, 0 warnings" in done.stdout
    assert "next: " in done.stderr


_WRONG_SITES: dict[str, tuple[Callable[[str], str], str, str]] = {
    "another tree": (
        lambda text: re.sub(r"root /\S+/www;", "root /usr/share;", text, count=1),
        "fault",
        "index.html: the web server answers 404",
    ),
    "no Cache-Control": (
        lambda text: text.replace('add_header Cache-Control "no-cache";', ""),
        "warning",
        "InRelease comes without `Cache-Control: no-cache`",
    ),
    "indexes that are said to be compressed twice": (
        lambda text: text.replace("gzip off;", "gzip off; add_header Content-Encoding gzip;"),
        "fault",
        "comes with Content-Encoding 'gzip'",
    ),
    "a registry without its rules": (
        lambda text: re.sub(r"_refs/", "_none/", text),
        "fault",
        "so no image can be pulled",
    ),
    "a Python index in the wrong type": (
        lambda text: text.replace("application/vnd.pypi.simple.v1+json", "application/json"),
        "fault",
        "comes as 'application/json', which pip and uv refuse",
    ),
}


@pytest.mark.parametrize("case", _WRONG_SITES)
def test_a_web_server_that_serves_it_wrongly_is_found(served: _Served, case: str) -> None:
    edit, level, text = _WRONG_SITES[case]
    assert edit(served.site_file("nginx")) != served.site_file("nginx")
    with served.by("nginx", edit):
        found = served.found()
    assert any(text in line for line in found.get(level, [])), found


def test_a_site_file_from_before_uploads_were_kept_from_running_is_found(served: _Served) -> None:
    with served.by("nginx", lambda text: re.sub(r' *add_header Content-Security-Policy "[^"]*";\n', "", text)):
        found = served.found()
    told = [line for line in found["warning"] if "comes without `Content-Security-Policy: … sandbox`" in line]
    assert len(told) == 3, found
    for path in ("/apt-dev/pool/", "/pypi-dev/packages/", "/json-dev/_repo_main/MANIFEST_all.json"):
        assert any(path in line for line in told)


def test_an_older_tree_is_found(served: _Served) -> None:
    page = served.lab.www / "index.html"
    text = page.read_bytes()
    with served.by("nginx", lambda site: site.replace(f"root {served.lab.www};", f"root {served.lab.directory}/old;")):
        old = served.lab.directory / "old"
        old.mkdir()
        (old / "index.html").write_bytes(text + b"\n")
        assert any("is not what" in line for line in served.found()["fault"])


def _doctor(lab: Stage, expect: int | None = 1) -> dict[str, list[tuple[str, str]]]:
    """Level → topic and text of what was found."""
    told = json.loads(lab.agent("doctor", "--json", expect=expect).stdout)
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in told["findings"]:
        found.setdefault(finding["level"], []).append((finding["topic"], f"{finding['text']} -> {finding['hint']}"))
    return found


def _has(found: list[tuple[str, str]], topic: str, text: str) -> bool:
    return any(where == topic and text in what for where, what in found)


def test_before_anything_is_set_up_it_says_how_to_begin(lab: Stage) -> None:
    lab.config.unlink()
    done = lab.agent("doctor", expect=1)
    assert "there is no configuration file" in done.stdout


def test_a_fault_in_the_configuration_is_named_with_its_line(lab: Stage) -> None:
    lab.config.write_text(lab.config.read_text() + "full_sync_intervall: 60\n")
    assert _has(_doctor(lab)["fault"], "config", "did you mean full_sync_interval")


def test_the_server_away_and_a_proxy_in_the_environment(lab: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy.example.com:3128")
    with held_port() as port:
        lab.server.url = f"http://127.0.0.1:{port}"
        lab.write_config()
        found = _doctor(lab)
    assert _has(found["fault"], "server", "can't be reached")
    assert _has(found["warning"], "proxy", "set `proxy: http://***@proxy.example.com:3128`")


def test_a_wrong_psk(lab: Stage) -> None:
    lab.psk = "wrong"
    lab.write_config()
    assert _has(_doctor(lab)["fault"], "server", "check name and psk")


def test_each_trouble_of_a_disk_has_its_own_remedy() -> None:
    disk = Disk("root_dir", "/srv/a b", 1000, 20, 2.0, writable=False)
    full, closed = [finding.hint for finding in judge_disk(disk)]
    assert full.startswith("free space below /srv/a b")
    assert "remount it writable: `findmnt -T '/srv/a b'`" in closed
    (good,) = judge_disk(disk._replace(free_percent=50.0, writable=True))
    assert not good.hint


def test_a_clock_that_is_ahead(lab: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in at_moment("+1h").items():
        monkeypatch.setenv(name, value)
    # The key's own times must not get in the way.
    lab.key = None
    lab.write_config()
    assert _has(_doctor(lab)["fault"], "clock", "ahead of that of the server -> set this machine's clock")


_KEYS = {
    "weak": ({"kind": "dsa2048"}, "warning", "DSA-2048 is refused by Debian 13"),
    "expired": ({"kind": "rsa3072", "expires": "1d", "faked_time": "20200101T000000"}, "fault", "is expired"),
    "for new clients only": ({"kind": "ed25519"}, "warning", "EdDSA is refused by RHEL 8"),
}


@pytest.mark.parametrize("case", _KEYS)
def test_a_key_that_clients_refuse(lab: Stage, case: str) -> None:
    options, level, text = _KEYS[case]
    with tempfile.TemporaryDirectory(prefix="pk-", ignore_cleanup_errors=True) as home:
        lab.key = make_key(Path(home), f"{case} <key@example.com>", **options)
        lab.write_config()
        found = _doctor(lab, None)
        end_gpg_agent(Path(home))
    assert _has(found[level], "key", text)


def test_a_key_that_soon_expires(lab: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="pk-", ignore_cleanup_errors=True) as home:
        lab.key = make_key(Path(home), "Soon <key@example.com>", "rsa3072", "20d")
        lab.write_config()
        found = _doctor(lab, None)
        end_gpg_agent(Path(home))
    year = str(datetime.now(UTC).year)[:2]
    assert _has(found["warning"], "key", f"the key expires on {year}")


def test_files_of_others_in_root_dir(lab: Stage) -> None:
    lab.www.mkdir()
    (lab.www / "ours.html").write_text("ours\n")
    assert _has(_doctor(lab)["fault"], "directories", "no packrat-agent put there")


def test_an_agent_on_another_machine_holds_the_state(lab: Stage) -> None:
    lab.agent("sync")
    holder = lab.directory / "state/state.db.lock.holder"
    holder.write_text(json.dumps({"pid": 77, "host": "elsewhere", "command": "run"}))
    assert _has(_doctor(lab)["fault"], "lock", "process 77 on elsewhere")


def _give_state_to_nobody(lab: Stage) -> Account:
    nobody = find_account("nobody")
    assert nobody is not None
    for path in (lab.directory / "state", *(lab.directory / "state").iterdir()):
        os.chown(path, nobody.uid, nobody.gid)
    for above in lab.directory.parents:
        if above.owner() == "root" and str(above).startswith("/tmp/"):
            above.chmod(0o755)
    lab.directory.chmod(0o755)
    return nobody


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_finds_what_the_agents_user_may_not_do(lab: Stage) -> None:
    """The state belongs to a user who may not read mirror.conf, nor write to root_dir."""
    lab.agent("sync")
    nobody = _give_state_to_nobody(lab)
    found = _doctor(lab)
    assert _has(found["fault"], "config", "belongs to root:root")
    assert _has(found["fault"], "directories", f"chown -R nobody:{nobody.group}")
    assert _has(found["fault"], "key", "nobody")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_state_database_that_leads_to_a_file_of_roots_makes_nothing_work_as_root(lab: Stage) -> None:
    nobody = _give_state_to_nobody(lab)
    (lab.directory / "state/state.db").symlink_to("/etc/hostname")
    found = _doctor(lab)
    assert _has(found["fault"], "config", "belongs to root:root")
    os.chown(lab.directory / "state/state.db", nobody.uid + 1, 0, follow_symlinks=False)
    assert [topic for topic, _ in _doctor(lab)["fault"]] == ["user"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_work_of_another_user_gives_its_value_or_its_error() -> None:
    nobody = find_account("nobody")
    assert nobody is not None
    assert nobody.do(lambda: (user_name(os.geteuid()), str(Path.cwd()), os.getgroups())) == (
        "nobody",
        "/",
        [nobody.gid],
    )

    def refuse() -> None:
        raise ServerRefused("no", "CODE", by_api=True, api_message="words", hint="do this")

    with pytest.raises(ServerRefused) as refused:
        nobody.do(refuse)
    assert (str(refused.value), refused.value.code, refused.value.by_api) == ("no; do this", "CODE", True)
    with pytest.raises(RuntimeError, match="ended with 1"):
        nobody.do(lambda: 1 // 0)
    assert find_account("no-such-user") is None


def test_the_command_line_is_checked(lab: Stage) -> None:
    done = subprocess.run(lab.command("doctor", "--no-such"), capture_output=True, text=True, check=False)
    assert done.returncode == ConfigError.exit_code
