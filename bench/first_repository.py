"""`PYTHONPATH=tests python -m bench.first_repository`: how far it is from a bare Debian to a first signed repository.

Each way begins in a Debian 12 as debootstrap leaves it, and ends when a real apt-get has installed a package from the
new repository with its key in Signed-By. Counted is what an operator types. Needs root, the packages of `make deb`, and
the roots of tests/provision.sh; prints a table in Markdown.
"""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from packrat_demo.build_deb import Deb, write_deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.fresh_root import FreshRoot, fresh_root
from support.stage import packrat_server

_TOP = Path(__file__).parents[1]
_CODENAME = "bookworm"
_PACKAGE = Deb("first", "1.0", "all")
_WITH = ("nginx-light", "curl", "ca-certificates")
_OURS = "the mirror, of a packrat server that exists"
_BOTH = "packrat-server and the mirror"


@dataclass(frozen=True, slots=True)
class _Step:
    """A command that an operator types; `is_counted` is False for what only this measurement needs."""

    command: str
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """What a way took: commands of the operator, of the client, seconds of all, and of `apt-get install` in them."""

    way: str
    commands: int
    client_commands: int
    total_s: float
    install_s: float


class _Walk:
    """Runs commands in a fresh root, counts them and takes the time."""

    def __init__(self, root: FreshRoot) -> None:
        self._root = root
        self.commands = 0
        self.total_s = 0.0
        self.install_s = 0.0

    def take(self, *steps: _Step | str) -> str:
        """Run steps one after the other; gives what the last printed on stdout."""
        said = ""
        for step in steps:
            command, is_counted = (step, True) if isinstance(step, str) else (step.command, step.is_counted)
            begin = time.monotonic()
            said = self._root.run(f"cd /root; {command}").stdout
            taken_s = time.monotonic() - begin
            self.commands += is_counted
            self.total_s += taken_s
            if command.startswith(("apt-get update", "apt-get install")):
                self.install_s += taken_s
        return said


def _install(*names: str) -> tuple[str, str]:
    return "apt-get update", f"apt-get install --no-install-recommends {' '.join(names)}"


def _client(url: str, key: str, line: str) -> list[str]:
    """What a client types for a repository that prints nothing for it."""
    return [
        f"curl -fsSL -o /etc/apt/keyrings/first.asc {url}/{key}",
        f"echo 'deb [signed-by=/etc/apt/keyrings/first.asc] {url} {line}' > /etc/apt/sources.list.d/first.list",
        "apt-get update",
    ]


def _pasted(told: str) -> list[str]:
    """What `init` prints for clients of the repository: one block, to be pasted."""
    return [told.partition("(apt):\n")[2].partition("\n\n")[0]]


def _set_up_aptly(walk: _Walk, port: int) -> list[str]:
    walk.take(
        *_install("aptly", "gnupg", "curl", "ca-certificates"),
        "gpg --batch --passphrase '' --quick-generate-key 'first <first@example.com>' rsa3072",
        f"aptly repo create -distribution={_CODENAME} -component=main first",
        "aptly repo add first first_1.0_all.deb",
        "aptly publish repo -architectures=amd64,all first",
        "gpg --armor --export first@example.com > .aptly/public/key.asc",
        f"(aptly serve -listen=127.0.0.1:{port} > /dev/null 2>&1 &)",
        _Step(f"curl -fsS --retry 20 --retry-connrefused http://127.0.0.1:{port}/key.asc", is_counted=False),
    )
    return _client(f"http://127.0.0.1:{port}", "key.asc", f"{_CODENAME} main")


def _set_up_reprepro(walk: _Walk, port: int) -> list[str]:
    top = "/var/www/html"
    stanza = f"Codename: {_CODENAME}\\nArchitectures: amd64\\nComponents: main\\nSignWith: yes\\n"
    walk.take(
        *_install("reprepro", "gnupg", "nginx-light", "curl", "ca-certificates"),
        "gpg --batch --passphrase '' --quick-generate-key 'first <first@example.com>' rsa3072",
        f"mkdir -p {top}/conf && printf '{stanza}' > {top}/conf/distributions",
        f"reprepro -b {top} includedeb {_CODENAME} first_1.0_all.deb",
        f"gpg --armor --export first@example.com > {top}/key.asc",
        # Other things of this machine may have port 80.
        _Step(f"sed -i '/::/d;s/listen 80 /listen 127.0.0.1:{port} /' /etc/nginx/sites-enabled/default", False),
        _Step("nginx -s reload || nginx", is_counted=False),
    )
    return _client(f"http://127.0.0.1:{port}", "key.asc", f"{_CODENAME} main")


def _set_up_mirror(walk: _Walk, port: int, options: str) -> list[str]:
    told = walk.take(f"packrat-agent init {options} --psk-file psk --public-url http://localhost:{port}")
    return _pasted(told)


def _set_up_both(walk: _Walk, port: int) -> list[str]:
    server, url = "runuser -u packrat-server -- packrat-server", f"http://127.0.0.1:{port + 1}"
    # Other things of this machine may have the usual port.
    listen = f"echo 'PACKRAT_SERVER_OPTIONS=\"--listen 127.0.0.1:{port + 1}\"' > /etc/default/packrat-server"
    walk.take(
        *_install("./packrat-agent.deb", "./packrat-server.deb", *_WITH),
        f"{server} init > made",
        _Step(listen, is_counted=False),
        "systemctl enable --now packrat-server",
        f"{server} repo set first --type apt --tag dev --distro {_CODENAME}",
        f"{server} mirror set lab --repo first > mirror",
        _Step("sed -n 's/^mirror lab has the psk \\([^ ]*\\).*/\\1/p' mirror > psk; chmod 600 psk", is_counted=False),
        _Step("sed -n 's/^user admin has the password \\([^ ]*\\).*/\\1/p' made > password", is_counted=False),
        f"packrat-server upload --url {url} --password-file password --distro {_CODENAME} --tag dev first_1.0_all.deb",
    )
    return _set_up_mirror(walk, port, f"--server {url} --name lab")


@contextmanager
def _root(scratch: Path, debs: Path) -> Iterator[FreshRoot]:
    with fresh_root(scratch / "root") as root:
        home = root.path("/root")
        write_deb(_PACKAGE, home)
        for name in ("packrat-agent", "packrat-server"):
            found = sorted(debs.glob(f"{name}_*deb12*.deb"))
            if not found:
                raise click.ClickException(f"{debs} has no package of {name}; run `make deb`, or name another --debs")
            shutil.copy(found[-1], home / f"{name}.deb")
        # As on a machine that systemd runs, whose systemctl is a stand-in here; clients paste `sudo`.
        root.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
        sudo = root.path("/usr/local/bin/sudo")
        sudo.write_text('#!/bin/sh\nexec "$@"\n')
        sudo.chmod(0o755)
        yield root


def measure(way: str, debs: Path, scratch: Path) -> Taken:
    """Go one way, from the bare root to the installed package.

    Args:
        way: Its name in WAYS.
        debs: Where the packages of `make deb` are.
        scratch: An empty directory.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with packrat_server(scratch) as server, _root(scratch, debs) as root:
        walk = _Walk(root)
        if way == _OURS:
            engine = open_database(server.data)
            admin.save_repo(engine, admin.NewRepo("first", "apt", "dev", (_CODENAME,)))
            psk = admin.save_mirror(engine, "lab", ["first"], "Lab")
            root.path("/root/psk").write_text(f"{psk}\n")
            engine.dispose()
            server.put_deb(_PACKAGE, (_CODENAME,), tags=("dev",))
            walk.take(*_install("./packrat-agent.deb", *_WITH))
            lines = _set_up_mirror(walk, port, f"--server {server.url} --name lab")
        else:
            lines = WAYS[way](walk, port)
        typed = walk.commands
        walk.take(*lines, "apt-get install first", _Step("dpkg -s first", is_counted=False))
        return Taken(way, typed, walk.commands - typed, walk.total_s, walk.install_s)


WAYS = {_OURS: lambda _walk, _port: [], _BOTH: _set_up_both, "aptly": _set_up_aptly, "reprepro": _set_up_reprepro}


@click.command()
@click.option(
    "--debs", type=click.Path(path_type=Path), default=_TOP / "dist", help="Where `make deb` put its packages."
)
@click.option("--only", type=click.Choice(list(WAYS)), multiple=True, help="Go these ways alone.")
def main(debs: Path, only: tuple[str, ...]) -> None:
    """Go all ways, and print what they took."""
    if os.geteuid() != 0:
        raise click.ClickException("only root can change the root of a process")
    print("| way | commands | of a client | seconds | without `apt-get update`, `install` |\n|---|---|---|---|---|")
    for way in only or WAYS:
        with tempfile.TemporaryDirectory(prefix="first-repository-") as scratch:
            taken = measure(way, debs, Path(scratch))
        rest_s = taken.total_s - taken.install_s
        print(f"| {way} | {taken.commands} | {taken.client_commands} | {taken.total_s:.0f} | {rest_s:.1f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
