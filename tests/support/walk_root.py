"""A Debian with the programs that the pages of docs/ use, and the project in it, with a network that may be its own."""

import hashlib
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from support.fresh_root import RELEASE, FreshRoot, fresh_root

_TOP = Path(__file__).parents[2]
_BASE = _TOP / ".cache" / f"{RELEASE}-walk"
_PAGES = (_TOP / "README.md", *sorted(_TOP.glob("docs/*.md")))
_NAMED = re.findall(r"apt-get install ([a-z][a-z0-9. -]+)$", "\n".join(map(Path.read_text, _PAGES)), re.MULTILINE)
_PACKAGES = (
    " ".join(dict.fromkeys(" ".join(_NAMED).split())),
    "dnf zypper rpm skopeo podman podman-docker jq rsync sqlite3 sudo git adduser ca-certificates openssl",
    "postgresql procps",
)
_PINNED = (("packrat-agent", "run"), ("clients", "clients"))
_NO_SERVICES = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d"
_HOSTS = f"127.0.0.1 localhost {socket.gethostname()} repo.example.com packrat.example.com\n"


def _made_of() -> str:
    """A digest of what is installed in the cached root."""
    pinned = [(_TOP / f"requirements/{name}.txt").read_text() for _, name in _PINNED]
    return hashlib.sha256("\n".join([*_PACKAGES, *pinned]).encode()).hexdigest()


def make() -> None:
    """Make the cached root, if it is not there or of another set of programs."""
    made = _BASE / "made"
    if made.exists() and made.read_text() == _made_of():
        return
    shutil.rmtree(_BASE, ignore_errors=True)
    _BASE.mkdir()
    with tempfile.TemporaryDirectory(dir=_BASE) as directory, fresh_root(Path(directory) / "root") as root:
        _install(root)
        subprocess.run(["cp", "-ax", f"{root.path('/')}/.", _BASE / "root"], check=True)
    made.write_text(_made_of())


def _install(root: FreshRoot) -> None:
    root.run(f"{_NO_SERVICES}; apt-get -q update")
    for packages in _PACKAGES:
        root.run(f"apt-get -q install --no-install-recommends {packages}")
    root.run("rm /usr/sbin/policy-rc.d; apt-get clean; rm -r /var/lib/apt/lists; : > /etc/apt/sources.list")
    for name, pinned in _PINNED:
        root.run(f"""\
            python3 -m venv /opt/{name}
            /opt/{name}/bin/pip install -q --require-hashes -r requirements/{pinned}.txt
            """)
    root.run("ln -s /opt/clients/bin/pip /opt/clients/bin/uv /opt/clients/bin/poetry /usr/local/bin/")
    # It was there for the installation only: each root gets today's.
    shutil.rmtree(root.path("/root/packrat-agent"))


@contextmanager
def walk_root(directory: Path, *, offline: bool = True) -> Iterator[FreshRoot]:
    """Copy that root, and install the project as it is now: its names are those of the pages' examples.

    Args:
        directory: where the root is to be.
        offline: with a network of its own; False for servers that run in the test.
    """
    made = _BASE / "made"
    assert made.exists() and made.read_text() == _made_of(), f"{_BASE} is not of today: run tests/provision.sh as root"
    with fresh_root(directory, _BASE / "root", offline=offline) as root:
        shutil.copy(_TOP / "tests/support/answer.py", root.path("/usr/local/bin/answer"))
        root.path("/usr/local/bin/answer").chmod(0o755)
        root.path("/etc/hosts").write_text(_HOSTS)
        root.run("""\
            /opt/packrat-agent/bin/pip install -q --no-deps --no-build-isolation .
            ln -s /opt/packrat-agent/bin/packrat-agent /opt/packrat-agent/bin/packrat-server /usr/local/bin/
            """)
        # A client knows nothing of how pip is set up on this machine.
        clean = {name: value for name, value in root.environment.items() if not name.startswith("PIP_")}
        yield replace(root, environment=clean)


if __name__ == "__main__":
    make()
