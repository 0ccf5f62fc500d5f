"""The Debian packages in a fresh root: install, `init`, a client with what `init` prints, upgrade, remove, purge."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.fresh_root import BOOKWORM, FreshRoot, cached_root, fresh_root
from support.other_debian import TRIXIE
from support.ports import held_port
from support.stage import packrat_server

_TOP = Path(__file__).parents[2]
_CODENAMES = {BOOKWORM: "bookworm", TRIXIE: "trixie"}
# Each takes half a minute; `make test-deb` tries both.
_RELEASES = tuple(_CODENAMES) if os.environ.get("PACKRAT_DEB") == "all" else (BOOKWORM,)
_VERSION = "1.0"

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root of a process"),
]


def build_package(name: str, codename: str, output: Path) -> Path:
    """Build a package as `make deb` does, compressed little."""
    script = _TOP / "packaging/deb/build.py"
    chosen = ["--package", name, "--release", codename, "--version", _VERSION, "--fast", "--output", str(output)]
    subprocess.run([sys.executable, str(script), *chosen], check=True, capture_output=True)
    (package,) = output.glob(f"{name}_*.deb")
    return package


def raise_version(package: Path, scratch: Path) -> Path:
    """Make the same package with a higher version."""
    tree, higher = scratch / "tree", scratch / f"{package.name.partition('_')[0]}_higher.deb"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {_VERSION}", "Version: 2.0"))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, higher], check=True)
    shutil.rmtree(tree)
    return higher


@dataclass(frozen=True, slots=True)
class _Installed:
    """A root in which the agent's package is installed."""

    root: FreshRoot
    package: Path
    options: str
    codename: str

    def init(self) -> str:
        return self.root.run(f"packrat-agent init {self.options}").stdout


@pytest.fixture(scope="module", params=_RELEASES)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Installed]:
    codename = _CODENAMES[request.param]
    package = build_package("packrat-agent", codename, tmp_path_factory.mktemp("deb"))
    with packrat_server(tmp_path_factory.mktemp("server")) as server, held_port("::") as port:
        engine = open_database(server.data)
        admin.save_repo(engine, admin.NewRepo("apt-prod", "apt", "prod", (codename,)))
        psk = admin.save_mirror(engine, "prod", ["apt-prod"], "Prod")
        engine.dispose()
        server.put_deb(Deb("walked", "1.0", "all"), (codename,), tags=("dev", "stage", "prod"))
        with fresh_root(tmp_path_factory.mktemp("fresh") / "root", cached_root(request.param)) as root:
            shutil.copy(package, root.path("/root"))
            # As on a machine that systemd runs, whose systemctl is the stand-in here.
            root.path("/run/systemd/system").mkdir(parents=True)
            root.run(
                "apt-get update\n"
                f"apt-get install --no-install-recommends nginx-light curl /root/{package.name}\n"
                f"echo '{psk}' > /root/psk && chmod 0600 /root/psk\n"
                # What clients paste is for users, who become root by it.
                "printf '#!/bin/sh\\nexec \"$@\"\\n' > /usr/local/bin/sudo && chmod 0755 /usr/local/bin/sudo"
            )
            options = f"--server {server.url} --name prod --psk-file /root/psk --public-url http://localhost:{port}"
            yield _Installed(root, package, options, codename)


def test_the_package_brings_user_directories_manual_and_completions(installed: _Installed) -> None:
    root = installed.root
    assert root.run("stat -c '%U %a' /var/lib/packratAgent /var/lib/packratAgent/gnupg").stdout.split() == [
        *("packrat", "750", "packrat", "700")
    ]
    assert root.run("packrat-agent --version").stdout.startswith("packrat-agent, version ")
    # Only its own environment counts, whatever lies about.
    root.run("cd /tmp && mkdir -p packrat_agent && touch packrat_agent/__init__.py click.py && packrat-agent --help")
    for path in ("man/man1/packrat-agent.1.gz", "man/man5/mirror.conf.5.gz", "doc/packrat-agent/copyright"):
        assert root.path(f"/usr/share/{path}").is_file()
    completed = root.run(
        "COMP_WORDS='packrat-agent sy' COMP_CWORD=1 _PACKRAT_AGENT_COMPLETE=bash_complete packrat-agent"
    )
    assert completed.stdout == "plain,sync\n"
    root.run("bash -n /usr/share/bash-completion/completions/packrat-agent")
    assert "#compdef packrat-agent" in root.path("/usr/share/zsh/vendor-completions/_packrat-agent").read_text()


def test_two_commands_lead_to_a_signed_repository_that_apt_uses(installed: _Installed) -> None:
    root = installed.root
    told = installed.init()
    assert "in place user packrat" in told
    for made in ("signing key", "configuration", "first sync", "site file", "service"):
        assert re.search(f"^made     {made}", told, re.MULTILINE), told
    assert root.run("stat -c '%U:%G %a' /etc/packrat/mirror.conf").stdout == "root:packrat 640\n"
    assert root.run("stat -c %U /var/www/repo/apt-prod/dists").stdout == "packrat\n"
    pasted = re.search(r"^Clients of apt-prod \(apt\):\n(.*?)^$", told, re.MULTILINE | re.DOTALL)
    assert pasted is not None, told
    root.run(pasted[1])
    assert "signed-by=" in root.path("/etc/apt/sources.list.d/apt-prod.list").read_text()
    root.run("apt-get install walked && dpkg -s walked")

    before = root.run(
        "find /etc/packrat /etc/nginx /var/www/repo /var/lib/packratAgent/gnupg -type f -exec stat -c '%n %Y %i' {} +"
    )
    assert "made" not in installed.init()
    assert root.run(before.args[-1].partition("\n")[2].partition("\n")[2]).stdout == before.stdout
    looked = root.run("packrat-agent doctor")
    assert "0 faults" in looked.stdout, looked.stdout


def test_a_drop_in_has_the_unit_follow_a_mirror_with_paths_of_its_own(installed: _Installed) -> None:
    root, top = installed.root, "/srv/our $1 mirror, 100%"
    words = shlex.split(installed.options)
    places = ["--config", f"{top}/mirror.conf", "--root-dir", f"{top}/www", "--state-dir", f"{top}/state"]
    root.path(top).mkdir()
    root.run("rm -rf /var/www/other && mv /var/www/repo /var/www/other")
    # A unit that runs another mirror is left to it.
    root.run("mv /etc/packrat/mirror.conf /etc/packrat/other.conf")
    try:
        root.run(shlex.join(["packrat-agent", "init", *words, *places, "--no-key", "--web-server", "none"]))
        command = root.run("tr '\\0' '\\n' < /proc/$(cat /run/stand-in/packrat-agent.pid)/cmdline").stdout.splitlines()
        assert command[-3:] == ["--config", f"{top}/mirror.conf", "run"]
        assert root.path(f"{top}/www/apt-prod/dists").is_dir()
    finally:
        root.run("mv /var/www/other /var/www/repo; rm -rf /etc/systemd/system/packrat-agent.service.d")
        root.run("mv /etc/packrat/other.conf /etc/packrat/mirror.conf")
        root.run("systemctl daemon-reload && systemctl restart packrat-agent")


def test_upgrade_remove_and_purge_leave_what_nobody_can_make_again(installed: _Installed, tmp_path: Path) -> None:
    root = installed.root
    higher = raise_version(installed.package, tmp_path)
    shutil.copy(higher, root.path("/root"))
    root.run(
        "sed -i 's/^PACKRAT_AGENT_OPTIONS=.*/PACKRAT_AGENT_OPTIONS=\"--log-level warning\"/' /etc/default/packrat-agent"
    )
    root.run(f"apt-get install /root/{higher.name}")
    assert root.run("dpkg-query -W -f '${Version}' packrat-agent").stdout.startswith("2.0")
    assert "--log-level warning" in root.path("/etc/default/packrat-agent").read_text()
    # It runs again, with the options of that file.
    assert (
        "--log-level\0warning\0run"
        in root.run("tr '\\n' ' ' < /proc/$(cat /run/stand-in/packrat-agent.pid)/cmdline").stdout
    )

    # What the operator made, as the page on upgrades says, and a file beside mirror.conf.
    made = ("/var/lib/packratAgent/state.db.before", "/etc/packrat/notes")
    root.run(f"cp -p /var/lib/packratAgent/state.db {made[0]}; touch {made[1]}")
    root.run("apt-get remove packrat-agent")
    assert not root.path("/usr/lib/packrat-agent").exists()
    assert root.path("/etc/packrat/mirror.conf").is_file()
    assert root.run("systemctl is-active packrat-agent", expect=None).stdout == ""

    told = root.run("apt-get purge packrat-agent").stdout
    assert "kept: /var/lib/packratAgent/gnupg" in told
    assert [name for name in made if not root.path(name).is_file()] == []
    assert sorted(os.listdir(root.path("/var/lib/packratAgent"))) == ["gnupg", "state.db.before"]
    for gone in ("/etc/packrat/mirror.conf", "/etc/default/packrat-agent", "/var/lib/packratAgent/state.db"):
        assert not root.path(gone).exists(), gone
    assert root.path("/var/www/repo/apt-prod/dists").is_dir()
    assert any(root.path("/var/lib/packratAgent/gnupg/private-keys-v1.d").iterdir())


@pytest.mark.skipif(os.environ.get("PACKRAT_DEB") != "all", reason="`make test-deb` tries it")
@pytest.mark.parametrize("release", _CODENAMES)
def test_the_servers_package_runs_a_server(release: str, tmp_path: Path) -> None:
    package = build_package("packrat-server", _CODENAMES[release], tmp_path)
    with fresh_root(tmp_path / "root", cached_root(release)) as root, held_port() as port:
        shutil.copy(package, root.path("/root"))
        root.run(f"apt-get update; apt-get install --no-install-recommends curl /root/{package.name}")
        root.run("runuser -u packrat-server -- packrat-server init --data /var/lib/packrat-server")
        root.path("/etc/default/packrat-server").write_text(f'PACKRAT_SERVER_OPTIONS="--listen 127.0.0.1:{port}"\n')
        root.run("systemctl start packrat-server")
        asked = f"curl -fsS --retry 20 --retry-all-errors --retry-delay 1 http://127.0.0.1:{port}/api/v2/"
        root.run(f"{asked} -X DESCRIBE -H 'CInP-Version: 0.9'")
        root.run("systemctl stop packrat-server && apt-get purge packrat-server")
        assert root.path("/var/lib/packrat-server/packrat.db").is_file()
        assert not root.path("/usr/lib/packrat-server").exists()


@pytest.mark.skipif(os.environ.get("PACKRAT_DEB") != "all", reason="`make test-deb` tries it")
@pytest.mark.parametrize("codename", _CODENAMES.values())
@pytest.mark.parametrize("name", ["packrat-agent", "packrat-server"])
def test_lintian_finds_nothing_but_what_the_overrides_explain(name: str, codename: str, tmp_path: Path) -> None:
    package = build_package(name, codename, tmp_path)
    done = subprocess.run(
        ["lintian", "--fail-on", "error,warning", package], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
