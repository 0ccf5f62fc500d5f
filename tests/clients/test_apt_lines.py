"""The landing page's lines for apt, pasted on this machine and on other Debian releases."""

import os
import re
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from support.other_debian import RELEASES, root_of
from support.stage import Stage
from support.web import web_server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

_HERE = "here"
_DEADLINE_S = 120
_FORMS = ("list", "sources")
# Nothing of the machine's apt is seen or changed: these directories are its own for as long as the shell lives.
_ENTER = """\
mount --rbind /tmp "$0/tmp"
for directory in etc/apt var/lib/apt var/cache/apt var/lib/dpkg; do mount --bind "$1/$directory" "$0/$directory"; done
if [ -n "$2" ]; then mount --bind "$2" "$0/etc/os-release"; fi
[ -e "$0/proc/self" ] || mount -t proc proc "$0/proc"
mount --bind /dev "$0/dev"
export PATH="$1/bin:/usr/sbin:/usr/bin:/sbin:/bin"
exec chroot "$0" bash -c 'cd /; . "$0"; echo alive' "$1/lines"
"""
_CURL = """\
#!/usr/bin/python3
import sys, urllib.request
data = urllib.request.urlopen([word for word in sys.argv if "://" in word][0]).read()
open(sys.argv[sys.argv.index("-o") + 1], "wb").write(data) if "-o" in sys.argv else sys.stdout.buffer.write(data)
"""


class Client:
    """A Debian machine of amd64 and i386, with directories of its own for apt and dpkg."""

    def __init__(self, directory: Path, release: str) -> None:
        self.root = Path("/") if release == _HERE else root_of(release)
        self.etc = directory / "etc/apt"
        self._directory = directory
        for name in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d"):
            (directory / name).mkdir(parents=True)
        for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg/info", "bin"):
            (directory / name).mkdir(parents=True)
        (directory / "var/lib/dpkg/status").touch()
        (directory / "var/lib/dpkg/arch").write_text("amd64\ni386\n")
        (directory / "etc/apt/apt.conf.d/90test").write_text('APT::Sandbox::User "root";\nquiet "0";\n')
        self._program("sudo", '#!/bin/sh\nexec "$@"\n')
        if not (self.root / "usr/bin/curl").exists():
            self._program("curl", _CURL)

    def paste(self, lines: str, os_release: str | None = None) -> subprocess.CompletedProcess[str]:
        """Paste lines into a shell."""
        (self._directory / "lines").write_text(f"{lines}\n")
        replaced = self._directory / "os-release"
        if os_release is not None:
            replaced.write_text(os_release)
        return subprocess.run(
            [
                *("unshare", "--mount", "sh", "-ec", _ENTER, str(self.root), str(self._directory)),
                str(replaced) if os_release is not None else "",
            ],
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )

    def sources(self) -> dict[str, str]:
        """What stands in sources.list.d."""
        return {path.name: path.read_text() for path in (self.etc / "sources.list.d").iterdir()}

    def _program(self, name: str, text: str) -> None:
        (self._directory / "bin" / name).write_text(text)
        (self._directory / "bin" / name).chmod(0o755)


@pytest.fixture(params=[_HERE, *RELEASES])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """A machine of each release."""
    return Client(tmp_path / "client", request.param)


@pytest.fixture
def served(lab: Stage) -> Iterator[tuple[Stage, str]]:
    """A mirror of two suites, with its URL."""
    lab.server.put_deb(Deb("hello", "1", "amd64"), ("bookworm", "trixie"))
    lab.server.put_deb(Deb("hello", "1", "arm64"))
    lab.agent("sync")
    with web_server(lab.www) as url:
        lab.extra = {"public_url": url}
        lab.write_config()
        lab.agent("sync")
        yield lab, url


def _blocks(lab: Stage) -> dict[str, str]:
    """The lines for each form, as the landing page shows them."""
    found = re.findall(r"<pre>(.*?)</pre>", (lab.www / "index.html").read_text(), re.DOTALL)
    return dict(zip(_FORMS, map(unescape, found), strict=True))


def _updated(done: subprocess.CompletedProcess[str]) -> str:
    """The output of lines that worked; apt has nothing to remark on them."""
    assert (done.returncode, done.stdout.endswith("alive\n")) == (0, True), done.stdout + done.stderr
    assert not re.search(r"^[NWE]: ", done.stdout + done.stderr, re.MULTILINE), done.stdout + done.stderr
    return done.stdout


def test_each_form_gives_the_suite_of_the_release_and_the_architectures_that_are_there(
    client: Client, served: tuple[Stage, str]
) -> None:
    lab, url = served
    system = (client.root / "etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)$", system, re.MULTILINE)
    assert found is not None
    suite, other = found[1], next(name for name in ("bookworm", "trixie") if name != found[1])
    key = "/etc/apt/keyrings/packrat-mirror.gpg"
    said = _updated(client.paste(_blocks(lab)["list"]))
    assert client.sources() == {"apt-dev.list": f"deb [arch=amd64 signed-by={key}] {url}/apt-dev {suite} main\n"}
    assert f"{url}/apt-dev {suite} InRelease" in said
    assert f"/dists/{other}" not in said
    _updated(client.paste(_blocks(lab)["sources"]))
    assert client.sources() == {
        "apt-dev.sources": f"Types: deb\nURIs: {url}/apt-dev\nSuites: {suite}\nComponents: main\n"
        f"Architectures: amd64\nSigned-By: {key}\n"
    }
    assert "Candidate: 1" in client.paste("apt-cache policy hello").stdout
    # The other way, the file of the other form goes, too.
    _updated(client.paste(_blocks(lab)["list"]))
    assert list(client.sources()) == ["apt-dev.list"]


@pytest.mark.parametrize("form", _FORMS)
def test_a_client_of_two_architectures_gets_both_where_the_suite_has_them(
    client: Client, served: tuple[Stage, str], form: str
) -> None:
    lab, _ = served
    lab.server.put_deb(Deb("old", "1", "i386"), ("bookworm", "trixie"))
    lab.agent("sync")
    _updated(client.paste(_blocks(lab)[form]))
    [source] = client.sources().values()
    assert ("arch=amd64,i386 " if form == "list" else "\nArchitectures: amd64 i386\n") in source
    assert "Candidate: 1" in client.paste("apt-cache policy old:i386").stdout


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("system", ["VERSION_CODENAME=noble\n", "ID=debian\n", "VERSION_CODENAME=book\n"])
def test_a_release_that_the_mirror_lacks_is_reported_and_nothing_changed(
    client: Client, served: tuple[Stage, str], form: str, system: str
) -> None:
    done = client.paste(_blocks(served[0])[form], system)
    release = re.search(r"CODENAME=(\w+)", system)
    assert done.stderr == (
        f"apt-dev has no packages for this system's release '{release[1] if release else ''}'; "
        "it has: bookworm, trixie\n"
    )
    # The terminal stays open.
    assert done.stdout == "alive\n"
    assert client.sources() == {}
    assert not (client.etc / "keyrings").exists()


def test_an_unsigned_mirror_has_lines_that_work(client: Client, served: tuple[Stage, str]) -> None:
    lab, _ = served
    config = lab.config.read_text()
    lab.config.write_text(re.sub(r"^gpg_sign_key.*", "gpg_sign_key: none", config, flags=re.MULTILINE))
    lab.agent("sync")
    for form in _FORMS:
        done = client.paste(_blocks(lab)[form])
        # apt 3 wants a key in each deb822 file, also where there is none.
        done.stderr = re.sub(r"^N: Missing Signed-By in .*\n", "", done.stderr, flags=re.MULTILINE)
        _updated(done)
        [source] = client.sources().values()
        assert ("trusted=yes" if form == "list" else "Trusted: yes") in source
    assert "Candidate: 1" in client.paste("apt-cache policy hello").stdout
