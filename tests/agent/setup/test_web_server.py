"""`packrat-agent init` and the web server: it reads the site file, whatever it serves besides, or has none."""

import os
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.config.settings import MirrorSettings
from packrat_agent.formats.interface import WebServer
from packrat_agent.setup.commands import has_systemd
from packrat_agent.setup.web_server import InstalledServer, install_site
from packrat_core.errors import ConfigError
from support.mirror_conf import write_mirror_conf

pytestmark = pytest.mark.skipif(has_systemd(), reason="systemctl is asked in place of service")


@pytest.fixture
def mirror(tmp_path: Path) -> MirrorSettings:
    mirror = "description: the lab\npublic_url: http://localhost:1\n"
    write_mirror_conf(tmp_path, "http://127.0.0.1:1", packrat="psk: x\n", mirror=mirror)
    return load(tmp_path / "mirror.conf").mirror


@pytest.fixture
def server(tmp_path: Path) -> InstalledServer:
    enabled = tmp_path / "enabled"
    enable = (("ln", "-s", "site", str(enabled)),)
    return InstalledServer(WebServer.NGINX, "no-such-server", tmp_path / "site", enabled, enable, ("true",))


def _answer(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a `service` before that of the machine; gives the file with what it was asked."""
    program, asked = directory / "bin/service", directory / "asked"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {asked}\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return asked


@pytest.mark.parametrize(("status", "verb"), [(0, "reload"), (3, "start")])
def test_one_that_runs_on_other_ports_is_reloaded(
    server: InstalledServer,
    mirror: MirrorSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    verb: str,
) -> None:
    asked = _answer(tmp_path, monkeypatch, f"[ $2 != status ] || exit {status}")
    install_site(server, mirror)
    assert asked.read_text().splitlines()[-1] == f"no-such-server {verb}"
    assert server.is_enabled()


def test_a_site_with_which_it_does_not_start_is_not_in_place(
    server: InstalledServer, mirror: MirrorSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(ConfigError, match="exit code 1"):
        install_site(server, mirror)
    assert server.site.is_file()
    assert not server.is_enabled()
