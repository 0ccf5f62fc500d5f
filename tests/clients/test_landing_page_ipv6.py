"""The landing page at an IPv6 address: real clients take the lines as its script fills them in."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser import chromium
from support.every_type import fill, mirror_of_all
from support.keys import Key
from support.python_clients import CLIENTS
from support.stage import DEADLINE_S, Stage
from support.web import web_server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

# A client: a machine with nothing of its own in /etc and /var, whose user answers yes.
_ENTER = """\
cp -a /etc "$0/etc"
mount --bind "$0/etc" /etc
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/yum.repos.d /etc/zypp/repos.d
mkdir -p /etc/yum.repos.d /etc/zypp/repos.d /etc/apt/sources.list.d /etc/apt/apt.conf.d
echo 'APT::Sandbox::User "root";' > /etc/apt/apt.conf.d/90test
printf '[main]\\nplugins=0\\nassumeyes=1\\nreleasever=9\\n' > /etc/dnf/dnf.conf
mount -t tmpfs none /var
mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial /var/lib/dpkg/info /var/lib/rpm /var/tmp /var/log
touch /var/lib/dpkg/status
export HOME="$0" PATH="$0/bin:/usr/sbin:/usr/bin:/sbin:/bin"
cd "$0"
exec $1 "$0/lines"
"""
_SUDO = """\
#!/bin/sh
if [ "$1" = zypper ]; then shift; set -- zypper --non-interactive --gpg-auto-import-keys "$@"; fi
exec "$@"
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[tuple[Stage, str]]:
    """A mirror of every type that does not know its address, at ::1."""
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with mirror_of_all(tmp_path_factory.mktemp("page"), key) as lab:
        lab.extra = {}
        lab.write_config()
        fill(lab)
        lab.agent("sync")
        with web_server(lab.www, "::1") as url:
            yield lab, url


@pytest.fixture(scope="module")
def shown(pages: tuple[Stage, str]) -> dict[str, str]:
    """Client and repository → the lines that the browser shows."""
    with chromium() as browser:
        page = browser.open(pages[1])
        found = page.run(
            "[...document.querySelectorAll('[data-label]:has(pre)')]"
            ".map((e) => [e.dataset.label, e.querySelector('pre').textContent])"
        )
        noted = page.run(
            "[...document.querySelectorAll('.ipv6-note')].filter((e) => !e.hidden)"
            ".map((e) => e.nextElementSibling.dataset.label)"
        )
    assert noted == [
        *("podman, docker-dev", "skopeo, docker-dev"),
        *("pip, uv or poetry, with this index alone, pypi-dev", "poetry, together with PyPI, pypi-dev"),
    ]
    return dict(found)


def paste(directory: Path, lines: str, shell: str = "bash -O failglob") -> str:
    """Paste lines into a client's shell, which refuses a pattern that no file has, as zsh does; gives what it says."""
    (directory / "bin").mkdir()
    (directory / "bin/sudo").write_text(_SUDO)
    (directory / "bin/sudo").chmod(0o755)
    for name in ("pip", "poetry", "uv"):
        (directory / "bin" / name).symlink_to(CLIENTS / name)
    (directory / "lines").write_text(f"set -e\n{lines}\n")
    command = ["unshare", "--mount", "sh", "-ec", _ENTER, str(directory), shell]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, (lines, done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.mark.parametrize("client", ["apt", "apt, as a deb822 file"])
def test_apt_takes_the_lines(tmp_path: Path, shown: dict[str, str], client: str) -> None:
    said = paste(tmp_path, shown[f"{client}, apt-dev"] + "\napt-cache policy first")
    assert "http://[::1]:" in said
    assert "Candidate: 1" in said
    assert not re.search(r"^[NWE]: ", said, re.MULTILINE), said


@pytest.mark.parametrize(
    ("client", "look"), [("dnf or yum, on rhel 9", "dnf repoquery"), ("zypper, on sles 15", "zypper packages")]
)
def test_dnf_and_zypper_take_the_lines(tmp_path: Path, shown: dict[str, str], client: str, look: str) -> None:
    said = paste(tmp_path, f"{shown[f'{client}, yum-dev']}\n{look} --repo yum-dev")
    assert "http://[::1]:" in said
    assert "two" in said.partition("gpgkey=")[2]


def test_pip_and_uv_take_the_lines(tmp_path: Path, shown: dict[str, str]) -> None:
    project = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["other"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    lines = shown["pip, uv or poetry, with this index alone, pypi-dev"]
    paste(tmp_path, f"{lines}\npip download --no-deps Some.Project==2.0\nUV_PYTHON_DOWNLOADS=never uv lock")
    assert list(tmp_path.glob("*2.0*.whl"))
    assert "http://[::1]:" in (tmp_path / "uv.lock").read_text()


def test_clients_that_refuse_an_ipv6_address_are_named(tmp_path: Path, shown: dict[str, str]) -> None:
    refused = {
        "poetry, together with PyPI, pypi-dev": "is not a valid host or port",
        "podman, docker-dev": "invalid reference format",
        "skopeo, docker-dev": "invalid reference format",
    }
    for number, (client, said) in enumerate(refused.items()):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
        # A newer one that takes it needs no note any more.
        lines = shown[client].replace("YOUR-PROJECT", "other")
        lines = "\n".join(line for line in lines.splitlines() if not line.startswith("curl "))
        assert said in paste(tmp_path / f"{number}", f"{{ {lines}\n}} || true")


@pytest.mark.parametrize("shell", ["sh", "bash -O failglob"])
def test_curl_takes_the_lines(tmp_path: Path, shown: dict[str, str], shell: str) -> None:
    lines = shown["curl and sha256sum, json-dev"].replace("PACKAGE/FILE", "a/a_1.conf")
    assert "a/a_1.conf: OK" in paste(tmp_path, lines, shell)
