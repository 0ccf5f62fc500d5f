"""A mirror that the original packrat agent built, of all five types, and the configuration to take it over with."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_classic
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_sdist, build_wheel
from support.keys import Key
from support.original_server import OriginalServer, StoredRepo, original_server
from support.original_tree import DESCRIPTION, write_original
from support.stage import Server, Stage

REPOS = {
    "apt-dev": StoredRepo("dev", ("bookworm", "trixie")),
    "yum-dev": StoredRepo("dev", ("rhel9",), "yum"),
    "pypi-dev": StoredRepo("dev", ("pypi",), "pypi"),
    "docker-dev": StoredRepo("dev", ("docker",), "docker"),
    "json-dev": StoredRepo("dev", ("resource",), "json"),
}


@dataclass(slots=True)
class TakeoverStage:
    """The original server, and a Stage whose root_dir and state database are the original agent's."""

    server: OriginalServer
    lab: Stage
    numbers: dict[str, int]
    """File name → the number of its record."""

    @property
    def state_db(self) -> Path:
        """The state database."""
        return self.lab.directory / "state/state.db"

    def snapshot(self) -> dict[str, tuple[int, int, int, str]]:
        """Path → (inode, mode, mtime in ns, SHA-256) of everything in root_dir and beside the state database."""
        found = {}
        for top in (self.lab.www, self.state_db.parent):
            for path in (top, *sorted(top.rglob("*"))):
                status = path.lstat()
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns, sha256)
        return found

    def downloads(self) -> list[str]:
        """The package files that were asked for."""
        return [request.target for request in self.server.asked if request.target.startswith("/files/")]


@contextmanager
def takeover_stage(directory: Path, key: Key, *, misdeclared: bool = False) -> Iterator[TakeoverStage]:
    """Run an original server, and leave behind what the original agent made of it.

    Args:
        directory: an empty directory.
        key: what the original agent signed with.
        misdeclared: there is also an i386 package that is called amd64.
    """
    with original_server() as server:
        server.repos.clear()
        server.repos.update(REPOS)
        if misdeclared:
            server.put("wrong", "1.0", "wrong_1.0_amd64.deb", build_deb(Deb("wrong", "1.0", "i386")), arch="x86_64")
        numbers = _fill(server)
        keep = {"keep_file": str(directory / "www/repo-key")}
        lab = Stage(directory, Server(directory, "", server.url), server.psk, key, keep)
        write_original(server, lab.www, directory / "state/state.db", key)
        lab.write_config()
        config = lab.config.read_text()
        lab.config.write_text(config.replace("description: the lab's mirror", f"description: {DESCRIPTION}"))
        yield TakeoverStage(server, lab, numbers)


def _fill(server: OriginalServer) -> dict[str, int]:
    """Put packages of all types, some of them renamed, as that server can't store their names."""
    for deb, package, version, arch, suite in (
        (Deb("first", "1.0", "amd64", files=(("/usr/share/first/it", b"1"),)), "first", "1.0", "x86_64", "bookworm"),
        (Deb("second", "2.0", "i386"), "second", "2.0", "i386", "bookworm"),
        (Deb("third-doc", "3.0", "all"), "third-doc", "3.0", "all", "bookworm"),
        (Deb("fourth", "4.0", "amd64"), "fourth", "4.0", "x86_64", "trixie"),
        (Deb("jq", "1.6-2.1+deb12u3", "amd64"), "jq", "1.6-2.1.deb12u3", "x86_64", "bookworm"),
    ):
        name = f"{package}_{version}_{deb.architecture}.deb"
        server.put(package, version, name, build_deb(deb), suite=suite, arch=arch)
    for rpm, package, arch in (
        (Rpm("tool", "1.0", "x86_64", files=(("/opt/tool", b"tool"),)), "tool", "x86_64"),
        (Rpm("texts", "2.0", "noarch"), "texts", "all"),
        (Rpm("old", "3.0", "i686"), "old", "i386"),
        (Rpm("python3.11", "3.0", "noarch"), "python311", "all"),
    ):
        name = f"{package}-{rpm.version}-1.{rpm.arch}.rpm"
        server.put(package, f"{rpm.version}-1", name, build_rpm(rpm), suite="rhel9", arch=arch)
    wheel = Python("speaker", "1.0", files=(("speaker.py", b"X = 1\n"),))
    server.put("speaker", "1.0", wheel.wheel_name, build_wheel(wheel), suite="pypi")
    sdist = Python("my-tool", "2.0", files=(("my_tool.py", b"X = 2\n"),))
    server.put("my-tool", "2.0", "my-tool-2.0.tar.gz", build_sdist(sdist), suite="pypi")
    for version in ("1.0", "1.1"):
        image = Image("web", version, ((("base", b"base\n"),), (("it", version.encode()),)))
        server.put("web", version, image.file_name, build_classic(image), suite="docker", arch="x86_64")
    server.put("settings", "7", "settings_7.json", b'{"a": 7}\n', suite="resource")
    return {file.name: file.number for file in server.files.values()}
