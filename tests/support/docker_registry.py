"""A docker mirror with two repositories, web servers in front of it, and real clients of its images."""

import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.formats.interface import WebServer
from packrat_demo.build_image import Image, write_image
from packrat_server import admin
from packrat_server.store.database import open_database
from support.keys import Key
from support.stage import DEADLINE_S, Stage, packrat_server
from support.web import web_server
from support.web_servers import front

HOST = "repo.example.com:5000"
"""The registry's public name, which signatures are made for; clients are led to the real address."""

_REGISTRIES = ".config/containers/registries.d"
"""Where podman looks, below the home directory."""

BASE = (("base", b"base\n"),)

WEB_1 = Image("web", "1.2", (BASE, (("web", b"one\n"),), BASE))

WEB_2 = Image("web", "1.10", (BASE, (("web", b"two\n"),)))

MULTI = [Image("tool", "3.0", (BASE, ((a, a.encode()),)), a) for a in ("amd64", "arm64")]


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory that the web servers' unprivileged workers can enter."""
    directory = Path(tempfile.mkdtemp(prefix="reg-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def docker_stage(key: Key | None, **extra: str) -> Iterator[Stage]:
    """A mirror with two docker repositories, `docker-dev` and `docker-stage`; `extra` goes into its mirror.conf."""
    with open_place() as directory, packrat_server(directory) as server:
        engine = open_database(server.data)
        for name, tag in (("docker-dev", "dev"), ("docker-stage", "stage")):
            admin.save_repo(engine, admin.NewRepo(name, "docker", tag, ("docker",), show_only_latest=False))
        psk = admin.save_mirror(engine, "lab", ["docker-dev", "docker-stage"], "Lab")
        engine.dispose()
        assert psk is not None
        set_up = Stage(directory, server, psk, key, {"public_url": f"http://{HOST}", **extra})
        set_up.write_config()
        yield set_up


def put(set_up: Stage, image: Image, data: bytes, tags: Sequence[str] = ("dev",)) -> None:
    directory = set_up.directory / "images"
    directory.mkdir(exist_ok=True)
    set_up.server.put(write_image(image, directory, data), ("docker",), tags)


@dataclass(frozen=True, slots=True)
class Registry:
    """A web server with the images, and a place for its clients' files."""

    url: str
    place: Path

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def run(self, *command: str, expect: int = 0, policy: Path | None = None) -> str:
        """Run skopeo or podman with a home of its own; `HOST` is led to the server."""
        registries = self.place / "registries.conf"
        registries.write_text(f'[[registry]]\nprefix = "{HOST}"\nlocation = "{self.address}"\ninsecure = true\n')
        # Only a client with a policy knows where signatures are.
        home = self.place / ("strict" if policy else "lax")
        (home / _REGISTRIES).mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "HOME": str(home),
            "CONTAINERS_REGISTRIES_CONF": str(registries),
            "XDG_RUNTIME_DIR": str(self.place),
            "TMPDIR": str(self.place),
        }
        words = list(command)
        if words[0] == "skopeo":
            words[1:1] = ["--policy", str(policy)] if policy else ["--insecure-policy"]
            words[1:1] = ["--registries-conf", str(registries), "--registries.d", str(home / _REGISTRIES)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment, cwd=self.place
        )
        assert (done.returncode == 0) == (expect == 0), f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout if expect == 0 else done.stderr

    def podman(self, *arguments: str, expect: int = 0, policy: Path | None = None) -> str:
        store = ["--root", str(self.place / "store"), "--runroot", str(self.place / "run"), "--storage-driver", "vfs"]
        signature_policy = ["--signature-policy", str(policy)] if policy else []
        command = ["podman", *store, arguments[0], *signature_policy, *arguments[1:]]
        return self.run(*command, expect=expect, policy=policy)

    def answer(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return response.status, dict(response.headers), response.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()


@contextmanager
def served(name: str, set_up: Stage, without: str = "") -> Iterator[Registry]:
    """Serve the mirror by the server of that name, as its site file says; `without` a text in that."""
    with open_place() as place:
        if name == "built-in":
            with web_server(set_up.www) as url:
                yield Registry(url, place)
            return
        site = subprocess.run(
            set_up.command("site", name, "--host", "repo.example.com"), check=True, capture_output=True, text=True
        ).stdout
        assert without in site
        with front(WebServer(name), site.replace(without, ""), place) as url:
            yield Registry(url, place)


def policy(published: Stage, registry: Registry) -> Path:
    """The policy.json and the file for registries.d that are published, as the client has them."""
    text = (published.www / "docker-dev/sigstore/registries.yaml").read_text()
    directory = registry.place / "strict" / _REGISTRIES
    directory.mkdir(parents=True, exist_ok=True)
    # Clients look a signature up under the real address that they are led to.
    (directory / "lab.yaml").write_text(text.replace(HOST, registry.address))
    path = registry.place / "policy.json"
    path.write_bytes((published.www / "docker-dev/sigstore/policy.json").read_bytes())
    return path
