"""A real `packrat-agent run` through what happens to a service: reloads, requests, moved directories, a lost disk."""

import asyncio
import json
import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path

from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.client.uploader import Uploader
from packrat_server.store.database import open_database
from support.apt_packages import read_packages
from support.stage import Daemon, Stage, daemon

FIRST = Deb("first", "1", "amd64")
SECOND = Deb("second", "1", "amd64")


def save_repos(lab: Stage, *repos: admin.NewRepo) -> None:
    engine = open_database(lab.server.data)
    for repo in repos:
        admin.save_repo(engine, repo)
    admin.save_mirror(engine, "lab", [repo.name for repo in repos])
    engine.dispose()


def apt_repo(name: str, tag: str, directory: str) -> admin.NewRepo:
    return admin.NewRepo(name, "apt", tag, ("bookworm",), directory=directory, show_only_latest=False)


def pool(root: Path) -> dict[str, int]:
    """Path → inode of all packages."""
    return {str(path.relative_to(root)): path.stat().st_ino for path in root.rglob("*.deb")}


def until_offered(lab: Stage, agent: Daemon, name: str) -> None:
    """Wait for the publish that brings a package."""
    count = 0
    while f"Package: {name}\n" not in lab.packages():
        count += 1
        agent.until_logged("published repo=apt-dev", count)


def test_sync_asks_the_running_agent(lab: Stage) -> None:
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert str(agent.process.pid) in lab.agent("sync").stdout
        agent.until_logged("asked")
        agent.until_logged("checked", 2)


def test_signals_that_come_before_the_agent_is_ready_are_obeyed_once_it_is(lab: Stage) -> None:
    holder = lab.directory / "state/state.db.lock.holder"
    with daemon(lab) as agent:
        # From here on `sync` sends it a signal; the state database and the key are still to be opened.
        while not holder.exists():
            assert agent.process.poll() is None, agent.log
        agent.process.send_signal(signal.SIGUSR1)
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("asked")
        agent.until_logged("read again")
        agent.until_logged("started", 2)
        agent.until_logged("checked")
        assert agent.stop() == 0


def test_a_reload_takes_a_good_configuration_and_leaves_a_bad_one(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        good = lab.config.read_text()
        lab.config.write_text(good.replace("the lab's mirror", "renamed by a reload"))
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("checked", 2)
        assert "renamed by a reload" in (lab.www / "index.html").read_text()
        lab.config.write_text(good + "nonsense: 1\n")
        agent.process.send_signal(signal.SIGHUP)
        assert "nonsense" in agent.until_logged("the configuration in force stays")
        lab.config.write_text(good.replace(lab.key.fingerprint if lab.key else "", "0" * 40))
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("the configuration before it stays in force")
        lab.server.put_deb(SECOND)
        until_offered(lab, agent, "second")
        lab.config.write_text(good)
        agent.process.send_signal(signal.SIGHUP)
        # Between two configurations nothing needs a clean end.
        assert agent.stop() in (0, -signal.SIGTERM)


def test_systemd_hears_of_a_stop_only_when_the_agent_stops(lab: Stage, tmp_path: Path) -> None:
    """systemd may take a service for stopping that says so in a reload, and kills it after TimeoutStopSec."""
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)

        def listen() -> list[str]:
            with suppress(BlockingIOError):
                while True:
                    said.append(systemd.recv(4096).decode().partition("\n")[0])
            return [word for word in said if word in ("READY=1", "RELOADING=1", "STOPPING=1")]

        with daemon(lab, {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}) as agent:
            agent.until_logged("checked")
            agent.process.send_signal(signal.SIGHUP)
            agent.until_logged("checked", 2)
            assert listen() == ["READY=1", "RELOADING=1", "READY=1"]
            assert agent.stop() == 0
        assert listen()[3:] == ["STOPPING=1"]


def test_a_configuration_that_was_changed_and_not_reloaded_is_reported(lab: Stage) -> None:
    options = ("check", "--disk-free", "0", "--allow-plain-http")
    with daemon(lab) as agent:
        agent.until_logged("checked ")
        assert lab.agent(*options).stdout.startswith("PACKRAT OK")
        good = lab.config.read_text()
        lab.config.write_text(good.replace(lab.psk, "another_psk"))
        told = f"{lab.config} was changed since the agent read it: `systemctl reload packrat-agent` puts it in force"
        line = lab.agent(*options, expect=1).stdout
        assert line.startswith(f"PACKRAT WARNING - {told}")
        assert f"\n! {told}" in lab.agent("status").stdout
        assert json.loads(lab.agent("status", "--json").stdout)["config_changed"] == told
        # The same text once more, as tools for configurations write it, changes nothing.
        lab.config.write_text(good)
        assert lab.agent(*options).stdout.startswith("PACKRAT OK")
        lab.config.write_text(good.replace(lab.psk, "another_psk"))
        # A look with a copy of the file can't tell.
        copy = lab.directory / "copy.conf"
        copy.write_text(good)
        copy.chmod(0o600)
        assert lab.agent("--config", str(copy), *options).stdout.startswith("PACKRAT OK")
        lab.config.write_text(good)
        agent.process.send_signal(signal.SIGHUP)
        agent.until_logged("checked ", 2)
        assert lab.agent(*options).stdout.startswith("PACKRAT OK")
    lab.config.write_text(good.replace(lab.psk, "another_psk"))
    assert json.loads(lab.agent("status", "--json").stdout)["config_changed"] is None


def test_a_root_dir_that_vanishes_is_waited_for_and_nothing_is_written_in_its_place(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        away = lab.directory / "away"
        lab.www.rename(away)
        lab.www.mkdir()
        lab.server.put_deb(SECOND)
        assert "mount its filesystem" in agent.until_logged("waiting")
        assert list(lab.www.iterdir()) == []
        lab.www.rmdir()
        away.rename(lab.www)
        agent.until_logged("recovered")
        assert "Package: second" in lab.packages()
        assert "Package: first" in lab.packages()


def test_a_moved_directory_and_two_swapped_ones_cost_no_download(lab: Stage) -> None:
    lab.server.put_deb(FIRST, tags=("dev",))
    lab.server.put_deb(SECOND, tags=("dev", "stage"))
    save_repos(lab, apt_repo("apt-dev", "dev", "one"), apt_repo("apt-stage", "stage", "two"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        before = pool(lab.www)
        shutil.rmtree(lab.server.data / "files")
        save_repos(lab, apt_repo("apt-dev", "dev", "two"), apt_repo("apt-stage", "stage", "one"))
        agent.until_logged("published repo=apt-dev", 2)
        agent.until_logged("published repo=apt-stage", 2)
        assert "Package: first" in read_packages(lab.www / "two/dists/bookworm/main/binary-amd64")
        assert "Package: first" not in read_packages(lab.www / "one/dists/bookworm/main/binary-amd64")
        save_repos(lab, apt_repo("apt-dev", "dev", "three/deep"), apt_repo("apt-stage", "stage", "one"))
        agent.until_logged("published repo=apt-dev", 3)
        assert "Package: first" in read_packages(lab.www / "three/deep/dists/bookworm/main/binary-amd64")
        assert set(pool(lab.www).values()) == set(before.values())


def test_a_package_is_published_while_a_full_pass_looks_at_the_disk(lab: Stage) -> None:
    # It takes minutes to read the large package, longer than any machine needs to publish the other one.
    lab.extra = {"scan_rate_limit": "1k"}
    lab.write_config()
    lab.server.put_deb(Deb("large", "1", "all", files=(("/usr/share/large", os.urandom(200_000)),)))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("asked")
        lab.server.put_deb(SECOND)
        log = agent.until_logged("published repo=apt-dev", 2)
        assert log.count("checked ") == 1
        assert "Package: second\n" in lab.packages()
        assert agent.stop() == 0


def test_damage_that_a_scan_finds_is_mended_while_the_agent_runs(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        (package,) = lab.repo.glob("pool/*/*.deb")
        good = package.read_bytes()
        package.write_bytes(b"?" * len(good))
        (lab.www / "foreign").write_text("not ours")
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("checked", 2)
        assert package.read_bytes() == good
        assert not (lab.www / "foreign").exists()


def test_removals_are_accepted_by_the_running_agent_when_sync_asks_for_it(lab: Stage) -> None:
    [uri] = lab.server.put_deb(FIRST)
    lab.agent("sync")
    lab.server.untag(uri, "dev")
    with daemon(lab) as agent:
        agent.until_logged("held repo=apt-dev")
        agent.until_logged("checked")
        assert "Package: first" in lab.packages()
        lab.agent("sync", "--accept-removals")
        agent.until_logged("checked", 2)
        assert "Package: first" not in lab.packages()


def test_wrong_bytes_are_asked_for_again_in_a_full_pass_only(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    [stored] = (path for path in (lab.server.data / "files").glob("*/*") if path.is_file())
    stored.write_bytes(b"!<arch>\nnot what it was")
    with daemon(lab) as agent:
        agent.until_logged("checked")
        lab.server.put_deb(SECOND)
        until_offered(lab, agent, "second")
        stored.write_bytes(build_deb(FIRST))
        lab.server.put_deb(Deb("third", "1", "amd64"))
        until_offered(lab, agent, "third")
        assert "Package: first" not in lab.packages()
        agent.process.send_signal(signal.SIGUSR1)
        until_offered(lab, agent, "first")


def test_a_burst_is_published_together(lab: Stage) -> None:
    uris = [uri for n in range(100) for uri in lab.server.put_deb(Deb(f"package-{n}", "1", "all"), tags=())]

    async def tag_all(uploader: Uploader) -> None:
        await asyncio.gather(*(uploader.tag(uri, "dev") for uri in uris))

    with daemon(lab) as agent:
        agent.until_logged("checked")
        before = agent.log.count("published repo=apt-dev")
        lab.server.ask(tag_all)
        lab.server.put_deb(Deb("last", "1", "all"))
        until_offered(lab, agent, "last")
        assert lab.packages().count("Package: package-") == 100
        assert agent.log.count("published repo=apt-dev") - before < 20


def test_a_stop_is_obeyed_while_the_server_says_nothing(lab: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        right = lab.config.read_text()
        lab.config.write_text(right.replace(lab.server.url, f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with daemon(lab) as agent:
            agent.until_logged("started")
            silent.accept()
            assert agent.stop() == 0
