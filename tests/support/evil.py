"""A packrat server that lies: answers like one where a test does not say otherwise."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packrat_demo.build_deb import Deb, build_deb
from support.mirror_conf import write_mirror_conf

ROOT = "/api/v2/"
MIRROR = f"{ROOT}Repo/Mirror"
REPO = f"{ROOT}Repo/Repo"
FILE = f"{ROOT}Package/PackageFile"
DISTRO_VERSION = f"{ROOT}Attrib/DistroVersion"

Send = Callable[[bytes], Awaitable[None]]
Lie = Callable[[Send], Awaitable[None]]

_DEADLINE_S = 240.0
_MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
)


def repo_record(name: str, directory: str) -> dict[str, Any]:
    """A repository as the server has it."""
    return {
        "name": name,
        "description": "",
        "filesystem_dir": directory,
        "manager_type": "apt",
        "distroversion_list": [f"{DISTRO_VERSION}:bookworm:"],
        "tag": f"{ROOT}Attrib/Tag:dev:",
        "show_only_latest": False,
    }


def file_record(name: str, content: bytes) -> dict[str, Any]:
    """A package file as the server has it."""
    return {
        "package": f"{ROOT}Package/Package:{name.partition('_')[0]}:",
        "distroversion": f"{DISTRO_VERSION}:bookworm:",
        "version": "1",
        "type": "deb",
        "arch": "all",
        "file": f"/files/{name}",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def answer(value: Any, **headers: str) -> bytes:
    """An answer of JSON."""
    body = json.dumps(value).encode()
    return head(**{"Content-Length": str(len(body)), **headers}) + body


def head(status: str = "200 OK", **headers: str) -> bytes:
    """The head of an answer; `_` in a header's name stands for `-`."""
    fields = {"Cinp-Version": "0.9", "Connection": "close", "Content-Type": "application/json", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


@dataclass(slots=True)
class Evil:
    """What the server says; `lies` maps (verb, a part of the target) to what is said instead.

    listed: What a LIST gives instead of all files; listed_of: the same by repository.
    """

    repos: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    listed: list[Any] | None = None
    listed_of: dict[str, list[Any]] = field(default_factory=dict)
    lies: dict[tuple[str, str], Lie] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, one: str, deb: Deb, **changed: Any) -> None:
        """Have a package file, with some fields of its record changed."""
        content = build_deb(deb)
        self.files[one] = {**file_record(deb.file_name, content), **changed}
        self.contents[f"/files/{deb.file_name}"] = content

    async def say(self, verb: str, target: str, send: Send, body: bytes = b"") -> None:
        """Answer one request."""
        self.asked.append(f"{verb} {target}")
        for (of_verb, part), lie in self.lies.items():
            if verb == of_verb and part in target:
                await lie(send)
                return
        if verb == "GET" and target.startswith("/files/"):
            content = self.contents.get(target)
            found = content is not None
            await send(head("200 OK" if found else "404 Not Found", Content_Length=str(len(content or b""))))
            await send(content or b"")
            return
        headers = {}
        if verb == "LIST":
            repo = json.loads(body or b"{}").get("repo", "").removeprefix(f"{REPO}:").removesuffix(":")
            default = self.listed if self.listed is not None else [f"{FILE}:{number}:" for number in self.files]
            value: Any = self.listed_of.get(repo, default)
            headers = {"Total": str(len(value)), "Count": str(len(value)), "Position": "0"}
        elif verb == "DESCRIBE":
            value = {"api-version": "2.0", "actions": []} if target == ROOT else {"actions": []}
        elif verb == "GET":
            value = self._get(target)
        else:
            value = []
        await send(answer(value, **headers))

    def _get(self, target: str) -> Any:
        model, _, rest = target.partition(":")
        ids = rest.removesuffix(":").split(":")
        if model == MIRROR:
            return {"name": "lab", "description": "", "repo_list": [f"{REPO}:{name}:" for name in self.repos]}
        version = {"name": "bookworm", "distro": "debian", "version": "12", "file_type": "deb"}
        known = {REPO: self.repos, FILE: self.files, DISTRO_VERSION: {"bookworm": version}}[model]
        return {f"{model}:{number}:": known[number] for number in ids if number in known}


@contextmanager
def serving(evil: Evil) -> Iterator[Evil]:
    """Listen while the context lasts."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"(?i)content-length: (\d+)", request)
            body = await reader.readexactly(int(length[1]) if length else 0)
            verb, target, _ = request.split(" ", 2)
            await evil.say(verb, target, send, body)
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            evil.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(listen(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield evil
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a sync ended: exit code, all it said, the most memory it had, in MiB."""

    code: int
    said: str
    memory_mib: int


@dataclass(slots=True)
class Victim:
    """A mirror of an evil server, in a directory with files around it that are nobody's business.

    limit: A command that runs the agent, with less than the tests' own rights.
    """

    directory: Path
    evil: Evil
    extra: str = ""
    secret: str = ""
    limit: tuple[str, ...] = ()

    @property
    def www(self) -> Path:
        """root_dir."""
        return self.directory / "box" / "www"

    def sync(self) -> Ended:
        """Run a sync to its end; nothing outside root_dir and the state database's directory may change by it."""
        state = self.directory / "state"
        state.mkdir(exist_ok=True)
        config = write_mirror_conf(
            self.directory,
            self.evil.url,
            root_dir=self.www,
            packrat=f"{self.secret}stall_timeout: 5\n",
            mirror=f"max_file_size: 1M\n{self.extra}",
        )
        for place in ("precious", "box/precious", "box/www2"):
            (self.directory / place).mkdir(parents=True, exist_ok=True)
            (self.directory / place / "file").write_text("mine")
        before = self._outside()
        command = [*self.limit, sys.executable, "-m", "packrat_agent.cli", "--config", str(config), "sync"]
        done = subprocess.run(
            [sys.executable, "-S", "-c", _MEASURE, *command],
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        assert self._outside() == before
        *said, memory = done.stdout.splitlines()
        return Ended(done.returncode, "\n".join([*said, done.stderr]), int(memory) // 1024)

    def _outside(self) -> dict[str, tuple[int, int, int]]:
        found = {}
        for path in sorted(self.directory.rglob("*")):
            if path.is_relative_to(self.www) or path.is_relative_to(self.directory / "state"):
                continue
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns if path.is_file() else 0)
        return found

    def pool(self) -> list[str]:
        """The packages below root_dir."""
        return sorted(str(path.relative_to(self.www)) for path in self.www.rglob("*.deb"))


@contextmanager
def victim(directory: Path) -> Iterator[Victim]:
    """Set up a mirror whose repository `apt-dev` has one good package, `good`."""
    evil = Evil(repos={"apt-dev": repo_record("apt-dev", "apt-dev")})
    evil.add("1", Deb("good", "1", "all"))
    with serving(evil):
        yield Victim(directory, evil)
