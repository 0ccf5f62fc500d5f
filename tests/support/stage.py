"""A packrat server, a mirror of it and an agent, for tests that need the whole line."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import insert

from packrat_demo.build_deb import Deb, write_deb
from packrat_server import admin
from packrat_server.client.uploader import Uploader, signed_in
from packrat_server.serving.running import running
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import repo_distro_versions
from support.apt_packages import read_packages
from support.keys import Key
from support.mirror_conf import write_mirror_conf
from support.relay import Relay, relay_to
from support.secrets_once import PSK, one_salt
from support.server_data import new_server_data
from support.warm_agent import AGENT, RunningAgent, run_agent

T = TypeVar("T")

DEADLINE_S = 60.0


@dataclass(slots=True)
class Server:
    """A running packrat server; `url` changes when it is started again, unless a port is given."""

    data: Path
    password: str
    url: str = ""

    def put(self, path: Path, suites: Sequence[str] = ("bookworm",), tags: Sequence[str] = ("dev",)) -> list[str]:
        """Upload a file and tag it; gives the URIs of its package files."""

        async def work(uploader: Uploader) -> list[str]:
            uris = list(await uploader.upload(path, suites))
            for uri in uris:
                for tag in tags:
                    await uploader.tag(uri, tag, "CC-1" if tag == "prod" else None)
            return uris

        return self.ask(work)

    def put_deb(self, deb: Deb, suites: Sequence[str] = ("bookworm",), tags: Sequence[str] = ("dev",)) -> list[str]:
        """Build, upload and tag a package."""
        directory = self.data.parent / "debs"
        directory.mkdir(exist_ok=True)
        return self.put(write_deb(deb, directory), suites, tags)

    def act(self, uri: str, action: str) -> None:
        """Fail, deprocate, …"""
        self.ask(lambda uploader: uploader.act(uri, action))

    def tag(self, uri: str, tag: str) -> None:
        """Promote."""
        self.ask(lambda uploader: uploader.tag(uri, tag, "CC-1"))

    def untag(self, uri: str, tag: str) -> None:
        """Take a tag off."""
        self.ask(lambda uploader: uploader.untag(uri, tag))

    def ask(self, work: Callable[[Uploader], Awaitable[T]]) -> T:
        """Do something in a session of the administrator."""

        async def do() -> T:
            async with signed_in(self.url, "admin", self.password) as uploader:
                return await work(uploader)

        return asyncio.run(do())


@contextmanager
def packrat_server(directory: Path, database: str | None = None) -> Iterator[Server]:
    """Run a new server below a directory; database: the URL of an empty PostgreSQL database, else SQLite."""
    data = directory / "server"
    server = Server(data, new_server_data(data, database))
    with running(data) as server.url:
        yield server


@dataclass(slots=True)
class Stage:
    """A server, a mirror `lab` with repository `<kind>-dev`, and the configuration of its agent."""

    directory: Path
    server: Server
    psk: str
    key: Key | None
    extra: dict[str, str] = field(default_factory=dict)
    kind: str = "apt"

    @property
    def www(self) -> Path:
        """root_dir."""
        return self.directory / "www"

    @property
    def config(self) -> Path:
        """mirror.conf."""
        return self.directory / "mirror.conf"

    @property
    def repo(self) -> Path:
        """The directory of the repository."""
        return self.www / f"{self.kind}-dev"

    def lose_state(self) -> None:
        """Remove the state database and all that stands beside it under its name."""
        for path in (self.directory / "state").glob("state.db*"):
            path.unlink()

    def write_config(self) -> None:
        """Write mirror.conf; `extra` goes into [mirror]."""
        signing = f"gpg_sign_key: {self.key.fingerprint}\ngnupg_home: {self.key.home}\n" if self.key else ""
        extra = "".join(f"{name}: {value}\n" for name, value in self.extra.items())
        write_mirror_conf(
            self.directory,
            self.server.url,
            packrat=f"psk: {self.psk}\n",
            mirror=f"description: the lab's mirror\n{signing}{extra}",
        )
        (self.directory / "state").mkdir(exist_ok=True)

    def agent(
        self, *arguments: str, expect: int | None = 0, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run packrat-agent to its end, in this environment or another one."""
        given = ["--config", str(self.config), *arguments]
        done = run_agent(given, os.environ if environment is None else environment, DEADLINE_S * 2)
        if expect is not None:
            assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def sync(self, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a sync in an environment of its own, however it ends."""
        return self.agent("sync", expect=None, environment=environment)

    def command(self, *arguments: str) -> list[str]:
        """The command line of packrat-agent."""
        return [*AGENT, "--config", str(self.config), *arguments]

    def packages(self, suite: str = "bookworm", architecture: str = "amd64") -> str:
        """The text of a suite's Packages."""
        return read_packages(self.repo / "dists" / suite / "main" / f"binary-{architecture}")

    def tree(self) -> dict[str, tuple[int, int]]:
        """Path → (inode, mtime in ns) of every file below root_dir."""
        return {
            str(path.relative_to(self.www)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
            for path in sorted(self.www.rglob("*"))
            if not path.is_dir() and ".packrat" not in str(path.relative_to(self.www)).split("/")[0]
        }


@contextmanager
def stage(
    directory: Path,
    key: Key | None,
    suites: Sequence[str] = ("bookworm", "trixie"),
    kind: str = "apt",
    database: str | None = None,
    extra: Mapping[str, str] | None = None,
    misfit_suites: Sequence[str] = (),
) -> Iterator[Stage]:
    """Set up a Stage whose repository takes every version tagged dev.

    Args:
        directory: an empty directory for server, agent and mirror.
        key: what the mirror is signed with; None for a mirror without signatures.
        suites: the distribution versions of the repository, all known to the server.
        kind: the type of the repository.
        database: the URL of an empty PostgreSQL database for the server; None for SQLite.
        extra: further keys of [mirror].
        misfit_suites: distribution versions of other types, which ours takes for no repository, and the original does.
    """
    with packrat_server(directory, database) as server:
        engine = open_database(server.data)
        admin.save_repo(engine, admin.NewRepo(f"{kind}-dev", kind, "dev", tuple(suites), show_only_latest=False))
        with one_salt():
            psk = admin.save_mirror(engine, "lab", [f"{kind}-dev"], "Lab", PSK)
        with writing(engine) as connection:
            for ordinal, name in enumerate(misfit_suites, start=100):
                row = {"repo": f"{kind}-dev", "distro_version": name, "ordinal": ordinal}
                connection.execute(insert(repo_distro_versions).values(**row))
        engine.dispose()
        assert psk is not None
        set_up = Stage(directory, server, psk, key, dict(extra or {}), kind)
        set_up.write_config()
        yield set_up


@contextmanager
def relayed(made: Stage) -> Iterator[Relay]:
    """Have the agent ask through a relay; the test itself goes to the server."""
    with relay_to(made.server.url) as relay:
        there, made.server.url = made.server.url, relay.url
        made.write_config()
        made.server.url = there
        yield relay
    # What a test does afterwards is not counted.
    made.config.write_text(made.config.read_text().replace(relay.url, there))


class Daemon:
    """A `packrat-agent run`, and what it logged so far."""

    def __init__(self, process: "subprocess.Popen[str] | RunningAgent") -> None:
        self.process = process
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def log(self) -> str:
        """All that was logged."""
        with self._news:
            return "".join(self._lines)

    def until_logged(self, text: str, count: int = 1, deadline_s: float = DEADLINE_S) -> str:
        """Wait until the log has `text` in that many lines; gives the log."""

        def seen() -> bool:
            return self._ended or sum(text in line for line in self._lines) >= count

        with self._news:
            self._news.wait_for(seen, deadline_s)
            told = "".join(self._lines)
            assert sum(text in line for line in self._lines) >= count, f"{text!r} was not logged {count} times:\n{told}"
        return told

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.terminate()
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code


@contextmanager
def daemon(set_up: Stage, environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """Run `packrat-agent run` until the context ends, in this environment or another one."""
    arguments = ["--config", str(set_up.config), "run"]
    with _until_the_end(RunningAgent(arguments, os.environ if environment is None else environment)) as agent:
        yield agent


@contextmanager
def new_daemon(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """Run a command line of `packrat-agent run` in a new process until the context ends, as `daemon` does."""
    with _until_the_end(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)) as agent:
        yield agent


@contextmanager
def _until_the_end(process: "subprocess.Popen[str] | RunningAgent") -> Iterator[Daemon]:
    try:
        yield Daemon(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
