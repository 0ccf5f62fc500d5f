"""A Debian in which server.md and the README were followed: a server, a mirror with a repository of each type."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_wheel
from support.doc_walk import Walk
from support.fresh_root import FreshRoot
from support.walk_root import walk_root

AS_SERVER = "runuser -u packrat-server -- packrat-server"
PASSWORD = "/root/password"
_SUITES = {"apt": "bookworm", "yum": "rhel9 --distro sles15", "pypi": "pypi", "docker": "docker", "json": "resource"}
_HELLO_RPM = Rpm("hello", "1.0", "x86_64", files=(("/opt/hello", b"hello\n"),))
_GREETING_RPM = Rpm("greeting", "2.0", "noarch")
_PROJECT = Python("your-project", "1.0", files=(("your_project.py", b"X = 1\n"),))
_PACKAGES = {
    "tool_1.0_amd64.deb": build_deb(Deb("tool", "1.0", "amd64")),
    _HELLO_RPM.file_name: build_rpm(_HELLO_RPM),
    _GREETING_RPM.file_name: build_rpm(_GREETING_RPM),
    _PROJECT.wheel_name: build_wheel(_PROJECT),
    "conf_1.0.json": b'{"a": 1}\n',
}


@dataclass(frozen=True, slots=True)
class DocsMirror:
    """The root, and what its examples are: what a page says → what it is here."""

    root: FreshRoot
    ours: Mapping[str, str]


@contextmanager
def docs_mirror(directory: Path, public_url: str = "http://repo.example.com") -> Iterator[DocsMirror]:
    """Follow server.md up to a server that runs, put packages on it, then the README up to a mirror that runs.

    Args:
        directory: where the root is to be.
        public_url: the address of the mirror, in place of the README's.
    """
    with walk_root(directory) as root:
        ours = {"http://repo.example.com\n": f"{public_url}\n", "host: packrat.example.com": "host: 127.0.0.1:8888"}
        ours["prod_psk"] = _start_server(root)
        _put_packages(root)
        walk = Walk(root, "README.md", ours)
        walk.skip("useradd")
        walk.run("useradd")
        made = walk.run("agent_gpg()")
        shown = re.search(r"^ssb .*\[S\].*\n +([0-9A-F]{40})$", made, re.MULTILINE)
        assert shown is not None, made
        walk.ours["AC418843B048A55266269920B94271513106BFA6"] = shown[1]
        walk.run("install -d -m 0755 /etc/packrat")
        root.path("/etc/packrat/mirror.conf").write_text(walk.next("[packrat]", "ini").text)
        walk.skip("runuser -u packrat -- packrat-agent sync")
        walk.run("runuser -u packrat -- packrat-agent sync")
        walk.run("cp packaging/packrat-agent.service")
        yield DocsMirror(root, walk.ours)


def _start_server(root: FreshRoot) -> str:
    """Follow server.md; gives the psk of mirror `prod`."""
    walk = Walk(root, "server.md", {})
    password = re.search(r"user admin has the password (\S+)", walk.run("adduser"))
    assert password is not None
    root.path(PASSWORD).write_text(password[1])
    walk.type("curl -fsS --retry 30 --retry-connrefused --retry-delay 1 http://127.0.0.1:8888/health")
    for kind, suites in _SUITES.items():
        walk.type(f"{AS_SERVER} repo set {kind}-prod --type {kind} --tag prod --distro {suites}")
    named = " ".join(f"--repo {kind}-prod" for kind in _SUITES)
    psk = re.search(r"psk (\S+)", walk.type(f"{AS_SERVER} mirror set prod {named}"))
    assert psk is not None
    return psk[1]


def _put_packages(root: FreshRoot) -> None:
    for name, data in _PACKAGES.items():
        root.path(f"/root/{name}").write_bytes(data)
    files = " ".join(_PACKAGES)
    root.run(f"""\
        cd /root
        export PACKRAT_PASSWORD=$(cat {PASSWORD})
        packrat-server upload --tag dev --distro bookworm tool_1.0_amd64.deb
        packrat-server upload --tag dev --distro rhel9 --distro sles15 {_HELLO_RPM.file_name} {_GREETING_RPM.file_name}
        packrat-server upload --tag dev {_PROJECT.wheel_name} conf_1.0.json
        packrat-server promote {files} --to prod --change-control CHG-4711
        """)
