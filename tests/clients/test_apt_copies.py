"""The real apt-mirror copies what the agent built, and the real apt-get uses the copy."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.formats.interface import WebServer
from packrat_demo.build_deb import Deb
from packrat_demo.client_run import ClientRun
from packrat_demo.private_apt import PrivateApt
from support.doc_pages import blocks
from support.docker_registry import open_place
from support.keys import Key
from support.python_clients import plain_server
from support.stage import DEADLINE_S, Stage, stage
from support.web_servers import front

_LINES = next(block.text for block in blocks("apt.md") if "deb-all " in block.text)


@pytest.fixture(scope="module")
def mirror(key: Key) -> Iterator[tuple[Stage, str]]:
    """A mirror with packages for amd64 and for all, and the address of the nginx that serves it."""
    with open_place() as directory, stage(directory, key) as lab, open_place() as place:
        lab.server.put_deb(Deb("hello", "1:1.0~rc1+b1-1", "amd64"))
        lab.server.put_deb(Deb("greeting", "2.0", "all"))
        lab.agent("sync")
        site = lab.agent("site", "nginx", "--host", "repo.example.com").stdout
        with front(WebServer.NGINX, site, place) as url:
            yield lab, url


def update_from_copy(mirror: tuple[Stage, str], lines: str, architecture: str) -> tuple[ClientRun, ClientRun]:
    """Copy by apt-mirror, serve the copy by a plain web server; gives apt's update and download from that."""
    lab, url = mirror
    with tempfile.TemporaryDirectory(prefix="copy-") as name:
        top = Path(name)
        for directory in ("mirror", "skel", "var"):
            (top / directory).mkdir()
        (top / "mirror.list").write_text(
            f"set base_path {name}\nset defaultarch amd64\nset run_postmirror 0\nset _tilde 0\n{lines}"
        )
        # Debian 12's apt-mirror can't do with a port in an address.
        environment = {**os.environ, "http_proxy": url}
        command = ["apt-mirror", str(top / "mirror.list")]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S, env=environment)
        with plain_server(top / "mirror/repo.example.com/apt-dev") as copy:
            source = f"deb [signed-by={lab.www}/repo-key.gpg] {copy}/ bookworm main\n"
            apt = PrivateApt(top / "apt", source, architecture)
            return apt.run("update"), apt.run("download", "greeting")


def ours(lines: str) -> str:
    return lines.replace("apt-prod", "apt-dev")


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_apt_uses_a_copy_that_apt_mirror_made_as_the_page_says(mirror: tuple[Stage, str], architecture: str) -> None:
    updated, downloaded = update_from_copy(mirror, ours(_LINES), architecture)
    assert updated.exit_code == 0, updated.output
    assert downloaded.exit_code == 0, downloaded.output


def test_without_the_line_for_all_packages_the_copy_is_of_no_use(mirror: tuple[Stage, str]) -> None:
    lines = "".join(line for line in ours(_LINES).splitlines(keepends=True) if not line.startswith("deb-all"))
    updated, _ = update_from_copy(mirror, lines, "amd64")
    assert updated.exit_code != 0, "docs/apt.md asks for a line that is not needed"
