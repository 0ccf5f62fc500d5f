"""The README's blocks, run as they stand there in a fresh Debian: from nothing to a package that apt installs."""

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.apt_packages import is_offered
from support.fresh_root import BOOKWORM, RELEASE, FreshRoot, fresh_root
from support.ports import held_port
from support.stage import DEADLINE_S, Server, packrat_server

_README = (Path(__file__).parents[2] / "README.md").read_text()
_PACKAGE = Deb("walked", "1.0", "all")
_NEXT = Deb("walked", "2.0", "all")
_LOG = "/var/log/packrat-agent.log"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root of a process"),
]


@dataclass(frozen=True, slots=True)
class _Block:
    """A fenced block: its language, its text, and the paragraph that introduces it."""

    language: str
    text: str
    before: str


def _blocks(heading: str) -> list[_Block]:
    publication = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## )", _README, re.MULTILINE | re.DOTALL)
    assert publication is not None, heading
    chunks = re.split(r"^```(\w+)\n(.*?)^```$", publication[1], flags=re.MULTILINE | re.DOTALL)
    return [_Block(chunks[n + 1], chunks[n + 2], chunks[n].strip()) for n in range(0, len(chunks) - 2, 3)]


class _Walk:
    """An operator who follows the README in a root, and puts in the place of its examples what is theirs."""

    def __init__(self, root: FreshRoot, ours: Mapping[str, str]) -> None:
        self.root = root
        self.ours = dict(ours)
        self.blocks = _blocks("Five minutes to a real mirror")

    def next(self) -> str:
        """Do what the next block says; gives what it prints."""
        block = self.blocks.pop(0)
        text = block.text
        for example, real in self.ours.items():
            text = text.replace(example, real)
        if block.language == "sh":
            return self.root.run(text).stdout
        assert block.language == "ini"
        named = re.search(r"Write into `(/\S+)`", block.before)
        assert named is not None, block.before
        # As an editor does that writes in place: owner and mode stay.
        self.root.path(named[1]).write_text(text)
        return ""

    def until(self, text: str) -> None:
        """Go on up to the block that holds `text`."""
        while text not in self.blocks[0].text:
            self.next()


@dataclass(frozen=True, slots=True)
class _Arrived:
    """The end of the walk, with the server that the mirror follows."""

    walk: _Walk
    server: Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A packrat server with mirror `prod`; gives its psk, too."""
    with packrat_server(tmp_path_factory.mktemp("walk")) as running:
        engine = open_database(running.data)
        admin.save_repo(engine, admin.NewRepo("apt-prod", "apt", "prod", ("bookworm",), show_only_latest=True))
        psk = admin.save_mirror(engine, "prod", ["apt-prod"], "Prod")
        engine.dispose()
        assert psk is not None
        running.put_deb(_PACKAGE, tags=("dev", "stage", "prod"))
        yield running, psk


@pytest.fixture(scope="module")
def arrived(server: tuple[Server, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Arrived]:
    """The walk up to a running service; each thing on the way is looked at in here, in the README's order."""
    packrat, psk = server
    ours = {"packrat.example.com": packrat.url, "prod_psk": psk, "YOUR-PACKAGE": _PACKAGE.name}
    # One web server after the other listens on the port, with minutes between.
    with held_port("::") as port, fresh_root(tmp_path_factory.mktemp("fresh") / "root") as root:
        ours["http://repo.example.com"] = f"http://localhost:{port}"
        _check_needs(root)
        walk = _Walk(root, ours)
        walk.until("--list-secret-keys --with-subkey-fingerprint")
        shown = re.search(r"^ssb .*\[S\].*\n +([0-9A-F]{40})$", walk.next(), re.MULTILINE)
        example = re.search(r"^gpg_sign_key: (\w+)$", _README, re.MULTILINE)
        assert shown is not None
        assert example is not None
        walk.ours[example[1]] = shown[1]
        yield _Arrived(walk, packrat)


def _check_needs(root: FreshRoot) -> None:
    """What the demo lacks is told at once, before any of it is installed; the README's line is the whole remedy."""
    told = root.run("packaging/check-needs python demo", expect=1).stderr
    command = re.search(r"apt-get install (.*)", told)
    assert command is not None, told
    install, _ = _blocks("Try it")[:2]
    named, listed = set(command[1].split()) | {"make"}, set(install.text.split()[4:])
    # A root of another release has clients for other tests, and lacks less.
    assert named == listed if RELEASE == BOOKWORM else named <= listed, told
    root.run(install.text)
    root.run("packaging/check-needs python demo")


def _modes(root: FreshRoot, *paths: str) -> list[tuple[str, int]]:
    """Owner and group by name, as the root calls them, and mode of paths."""
    listed = root.run(f"stat -c '%U:%G %a' {' '.join(paths)}").stdout.split()
    return [(owner, int(mode, 8)) for owner, mode in zip(listed[::2], listed[1::2], strict=True)]


def _strangers(root: FreshRoot) -> str:
    """What below the agent's directories does not belong to it."""
    return root.run("find /var/www/repo /var/lib/packratAgent ! -user packrat").stdout


def test_the_installation_puts_both_programs_on_the_path_and_fetches_nothing_unhashed(arrived: _Arrived) -> None:
    root = arrived.walk.root
    assert "version" in root.run("cd /; packrat-agent --version; packrat-server --version").stdout
    pip = [line for line in _README.splitlines() if "/pip install" in line]
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in pip)


def test_a_configuration_that_the_agent_may_not_read_names_user_mode_and_command(arrived: _Arrived) -> None:
    walk, root = arrived.walk, arrived.walk.root
    walk.until("runuser -u packrat -- packrat-agent config")
    assert _modes(root, "/etc/packrat/mirror.conf") == [("root:packrat", 0o640)]
    root.run("chgrp root /etc/packrat/mirror.conf")
    told = root.run("runuser -u packrat -- packrat-agent config", expect=2).stderr
    assert "belongs to root:root with mode 0640, and this is user packrat" in told
    command = re.search(r"`(chgrp [^`]+)`", told)
    assert command is not None
    root.run(command[1])
    assert _modes(root, "/etc/packrat/mirror.conf") == [("root:packrat", 0o640)]
    assert "root_dir: /var/www/repo" in walk.next()


def test_root_is_sent_to_the_agents_user_and_leaves_nothing_behind(arrived: _Arrived) -> None:
    root = arrived.walk.root
    for command in ("sync", "sync --dry-run", "run"):
        told = root.run(f"packrat-agent {command}", expect=2).stderr
        assert f"`runuser -u packrat -- packrat-agent {command}`" in told
        assert _strangers(root) == ""


def test_the_first_sync_leaves_everything_to_the_agents_user(arrived: _Arrived) -> None:
    walk, root = arrived.walk, arrived.walk.root
    assert "sync --dry-run" in walk.blocks[0].text
    assert "published apt-prod bookworm: 1 added" in walk.next()
    assert root.path("/var/www/repo/apt-prod/dists/bookworm/InRelease").is_file()
    assert _strangers(root) == ""
    told = root.run("packrat-agent sync", expect=2).stderr
    assert "belongs to user packrat, and this is root" in told


def test_the_unit_starts_as_its_user_and_the_check_is_good(arrived: _Arrived) -> None:
    walk, root = arrived.walk, arrived.walk.root
    assert "systemctl enable --now packrat-agent" in walk.blocks[0].text
    assert walk.next().startswith("PACKRAT OK")
    assert _strangers(root) == ""
    assert _modes(root, "/var/lib/packratAgent", "/var/lib/packratAgent/gnupg") == [
        ("packrat:packrat", 0o750),
        ("packrat:packrat", 0o700),
    ]
    # Where it runs, root may ask it.
    assert "asked the running agent" in root.run("packrat-agent sync").stdout


@pytest.mark.parametrize("name", ["nginx", "apache2"])
def test_a_real_apt_installs_from_the_site(arrived: _Arrived, name: str) -> None:
    walk, root = arrived.walk, arrived.walk.root
    assert f"systemctl restart {name}" in walk.blocks[0].text
    if name == "apache2":
        root.run("service nginx stop")
    walk.next()
    client = walk.blocks[-1]
    if name == "nginx":
        walk.blocks.append(client)
        others, walk.blocks = walk.blocks, [client]
        walk.next()
        walk.blocks = others[:-1]
        assert root.run(f"dpkg-query -W -f '${{Version}}' {_PACKAGE.name}").stdout == _PACKAGE.version
    else:
        arrived.server.put_deb(_NEXT, tags=("dev", "stage", "prod"))
        _until_served(root, f"Version: {_NEXT.version}\n")
        walk.next()
        assert walk.blocks == []
        assert root.run(f"dpkg-query -W -f '${{Version}}' {_NEXT.name}").stdout == _NEXT.version


def _until_served(root: FreshRoot, text: str) -> None:
    suite = root.path("/var/www/repo/apt-prod/dists/bookworm")
    end = time.monotonic() + DEADLINE_S
    while not is_offered(suite, text):
        assert time.monotonic() < end, root.path(_LOG).read_text()
        os.sched_yield()


def test_files_made_as_root_before_are_named_with_one_command_that_mends_them(arrived: _Arrived) -> None:
    root = arrived.walk.root
    root.run("systemctl stop packrat-agent")
    root.run("chown -R root: /var/www/repo/.packrat-agent; chown root: /var/lib/packratAgent/state.db*")
    told = root.run("systemctl start packrat-agent", expect=1).stderr
    assert "failed with 7" in told
    command = re.findall(r"as root: `(chown [^`]+)`", told)
    root.run(command[-1])
    root.run("systemctl start packrat-agent")
    assert _strangers(root) == ""


def test_root_keeps_a_mirror_that_is_roots_alone(arrived: _Arrived) -> None:
    root = arrived.walk.root
    root.run("systemctl stop packrat-agent")
    root.run("""\
        sed -e 's|/var/www/repo|/var/www/roots|; s|Agent/state.db|Root/state.db|; /^gpg_sign_key\\|^gnupg_home/d' \\
          /etc/packrat/mirror.conf > /root/mirror.conf
        packrat-agent --config /root/mirror.conf sync
        packrat-agent --config /root/mirror.conf sync
        """)
    assert stat.S_ISREG(root.path("/var/www/roots/apt-prod/dists/bookworm/Release").stat().st_mode)


def test_the_demo_works_after_the_installation_that_it_asks_for(arrived: _Arrived) -> None:
    assert _blocks("Try it")[1].text == "make demo\n"
    assert "proved   apt" in arrived.walk.root.run("make demo-once").stdout


def test_a_data_directory_of_another_user_is_refused_to_root_too(arrived: _Arrived) -> None:
    root = arrived.walk.root
    root.run("""\
        useradd --system --user-group packrat-server
        install -d -o packrat-server -g packrat-server /var/lib/packrat-server
        """)
    told = root.run("packrat-server init", expect=2).stderr
    assert "`runuser -u packrat-server -- packrat-server init`" in told
    assert list(root.path("/var/lib/packrat-server").iterdir()) == []
    root.run("runuser -u packrat-server -- packrat-server init")
    told = root.run("packrat-server user set someone", expect=2).stderr
    assert "`runuser -u packrat-server -- packrat-server user set someone`" in told
