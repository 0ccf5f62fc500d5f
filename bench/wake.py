"""`python -m bench.wake`: what a tag costs packrat-server with many mirrors that wait, and when they hear of it.

The processor time is that of the server's process, user and system, and counts everything up to the moment when every
mirror that is concerned has its answer and asks again. A second process has the mirrors.
"""

import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import click
from sqlalchemy import Engine, insert

from bench.server import read_url
from bench.wake_clients import PACKAGE, Line, Mirrors, Session
from packrat_server import admin
from packrat_server.accounts.sessions import digest
from packrat_server.admin.new_server import init
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import mirror_repos, mirrors, package_file_tags, package_files, packages, sessions
from support.postgres import cluster

_SETTLE_S = 0.3
_IDLE_S = 3.0
_DEADLINE_S = 120
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_CONTENT = b"0" * 1000
_SHA256 = "86b34a4d33e4c5f6e7c8aa8b2a3c4eac1f0d3f6cd0d6b9d4b3d1f7a4b6a7c8d9"
WAYS = {"stream": "with one question that stays open", "again": "which ask again after each answer"}
USER = Session("admin", "bench-admin")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process and address."""

    pid: int
    host: str
    port: int

    def cpu_s(self) -> float:
        """The processor time that it has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S


@dataclass(frozen=True, slots=True)
class Crowd:
    """Mirrors that wait: how many, and which of WAYS is theirs."""

    count: int
    way: str


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--mirrors", "count", default=200, show_default=True, help="Number of mirrors.")
@click.option("--tags", default=40, show_default=True, help="Number of tags for each figure.")
@click.option("--uploaders", default=20, show_default=True, help="Number of users who tag at the same time.")
@click.option("--ask", type=click.Choice([*WAYS, "both"]), default="both", show_default=True)
@click.option("--database", type=click.Choice(["sqlite", "postgresql", "both"]), default="both", show_default=True)
def main(count: int, tags: int, uploaders: int, database: str, ask: str) -> None:
    """Measure a tag without mirrors, with mirrors that it concerns and with others; and downloads."""
    for name in ("sqlite", "postgresql") if database == "both" else (database,):
        with _new_database(name) as url, tempfile.TemporaryDirectory() as directory:
            data = Path(directory) / "server"
            _fill(data, url, count, uploaders)
            click.echo(f"{name}, load {os.getloadavg()[0]:.1f}")
            with _serving(data) as server:
                bare = asyncio.run(_tag_alone(server, tags))
                click.echo(f"  a tag without mirrors      {bare * 1000:7.1f} ms of the server's processor time")
                for way in WAYS if ask == "both" else (ask,):
                    click.echo(f"  {count} mirrors, {WAYS[way]}:")
                    _measure_cost(server, Crowd(count, way), tags, bare)
                    _measure_delays(server, Crowd(count, way), uploaders, max(2, tags // uploaders))
                _measure_downloads(server)


def _measure_cost(server: Server, crowd: Crowd, tags: int, bare: float) -> None:
    for kind, label in (("idle", "that it does not concern"), ("busy", "that it concerns")):
        with _following(server, kind, crowd) as (waiting, pipe):
            cost = asyncio.run(_tag_alone(server, tags, waiting, crowd.count if kind == "busy" else 0))
            click.echo(f"    a tag {label:25}{cost * 1000:7.1f} ms, {cost / bare:.1f} times as much")
            pipe.send("end")
            pipe.recv()


def _measure_delays(server: Server, crowd: Crowd, uploaders: int, each: int) -> None:
    # The files that are tagged for the first way have the tag already for the second one.
    first = 2 + uploaders * each * list(WAYS).index(crowd.way)
    with _following(server, "busy", crowd) as (_, pipe):
        asked, answered = asyncio.run(_tag_together(server, uploaders, each, first))
        time.sleep(2)
        pipe.send("end")
        _show_delays(pipe.recv(), asked, answered, crowd.count)


def _measure_downloads(server: Server) -> None:
    for together in (1, 40):
        rate, cpu_s = asyncio.run(_download(server, together))
        click.echo(f"  /files, {together:2} at a time      {rate:7.0f} a second, {cpu_s * 1000:.2f} ms each")


def _show_delays(
    heard: Sequence[tuple[str, float]], asked: dict[str, float], answered: dict[str, float], count: int
) -> None:
    for label, since in (("asked for", asked), ("answered", answered)):
        delays = sorted(at - since[name] for name, at in heard if name in since)
        p50, p99 = statistics.median(delays), delays[int(len(delays) * 0.99) - 1]
        click.echo(
            f"  from a tag that is {label:10} until each of {count} mirrors hears of it: "
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ({len(delays)} of {count * len(since)})"
        )


async def _tag_alone(
    server: Server, tags: int, waiting: "multiprocessing.sharedctypes.Synchronized[int] | None" = None, count: int = 0
) -> float:
    """Tag one after the other, each when all mirrors wait; gives the processor time of the server for each.

    Args:
        server: The server.
        tags: Number of tags.
        waiting: How many times a mirror has begun to wait.
        count: Number of mirrors that hear of the tag.

    Returns:
        Seconds of processor time, without those that the server takes while nothing happens.
    """
    line = Line(server.host, server.port, USER)

    async def tag(number: int) -> None:
        start = waiting.value if waiting is not None else 0
        await _act(line, 1, "untag" if number % 2 else "tag")
        while waiting is not None and waiting.value < start + count:
            await asyncio.sleep(0.002)

    for number in range(2):
        await tag(number)
    await asyncio.sleep(_SETTLE_S)
    before = server.cpu_s()
    await asyncio.sleep(_IDLE_S)
    idle = (server.cpu_s() - before) / _IDLE_S
    before, started = server.cpu_s(), time.monotonic()
    for number in range(tags):
        await tag(number)
    await asyncio.sleep(_SETTLE_S)
    used = server.cpu_s() - before - idle * (time.monotonic() - started)
    line.close()
    return used / tags


async def _tag_together(
    server: Server, uploaders: int, each: int, first: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Tag a file of each package at the same time; gives when each was asked for, and when it was answered.

    Args:
        server: The server.
        uploaders: Number of users.
        each: Number of tags of each user.
        first: The id of the first file.
    """
    asked: dict[str, float] = {}
    answered: dict[str, float] = {}

    async def upload(number: int) -> None:
        line = Line(server.host, server.port, USER)
        for file_id in range(first + number * each, first + number * each + each):
            asked[f"p{file_id}"] = time.monotonic()
            await _act(line, file_id, "tag")
            answered[f"p{file_id}"] = time.monotonic()
        line.close()

    await asyncio.gather(*(upload(number) for number in range(uploaders)))
    return asked, answered


async def _act(line: Line, file_id: int, action: str) -> None:
    status, body = await line.ask("CALL", f"{PACKAGE}:{file_id}:({action})", {"tag": "/api/v2/Attrib/Tag:dev:"})
    assert status == 200, body


async def _download(server: Server, together: int) -> tuple[float, float]:
    """Download small files; gives how many a second, and the server's processor time for each."""
    count = 2000

    async def get(share: int) -> None:
        line = Line(server.host, server.port, Session("busy0", "bench-busy0"))
        for _ in range(share):
            status, _body = await line.ask("GET", "/files/p1_1_all.deb", None)
            assert status == 200
        line.close()

    tag = Line(server.host, server.port, USER)
    await _act(tag, 1, "tag")
    before, started = server.cpu_s(), time.monotonic()
    await asyncio.gather(*(get(count // together) for _ in range(together)))
    took, used = time.monotonic() - started, server.cpu_s() - before
    await _act(tag, 1, "untag")
    tag.close()
    return count / took, used / count


@contextmanager
def _following(
    server: Server, kind: str, crowd: Crowd
) -> "Iterator[tuple[multiprocessing.sharedctypes.Synchronized[int], Connection]]":
    """Have mirrors of a kind wait in a process of their own."""
    waiting = multiprocessing.Value("i", 0)
    ours, theirs = multiprocessing.Pipe()
    chosen = [Session(f"{kind}{number}", f"bench-{kind}{number}") for number in range(crowd.count)]
    made = Mirrors(server.host, server.port, chosen, waiting, crowd.way == "stream")
    process = multiprocessing.Process(target=made.run, args=(theirs,), daemon=True)
    process.start()
    until = time.monotonic() + _DEADLINE_S
    while waiting.value < crowd.count and time.monotonic() < until:
        time.sleep(0.01)
    assert waiting.value >= crowd.count, f"only {waiting.value} of {crowd.count} mirrors wait"
    time.sleep(_SETTLE_S)
    try:
        yield waiting, ours
    finally:
        process.kill()
        process.join()


@contextmanager
def _serving(data: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "packrat_server.cli", "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        host, _, port = read_url(process).removeprefix("http://").partition(":")
        yield Server(process.pid, host, int(port))
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _new_database(name: str) -> Iterator[str | None]:
    with nullcontext(None) if name == "sqlite" else cluster() as made:
        yield None if made is None else made.new_database()


def _fill(data: Path, url: str | None, count: int, uploaders: int) -> None:
    init(data, url)
    engine = open_database(data)
    for repo, tag in (("busy", "dev"), ("idle", "stage")):
        admin.save_repo(engine, admin.NewRepo(repo, "apt", tag, ("bookworm",), show_only_latest=False))
    path = blob_path(data, _SHA256)
    path.parent.mkdir(parents=True)
    path.write_bytes(_CONTENT)
    _fill_tables(engine, count, 2 + 100 * uploaders)
    engine.dispose()


def _fill_tables(engine: Engine, count: int, files: int) -> None:
    now = datetime.now(UTC)
    stamps = {"created": now, "updated": now}
    made = {"distro_version": "bookworm", "version": "1", "type": "deb", "arch": "all", "size": len(_CONTENT)}
    made |= {"justification": "", "provenance": "", "sha256": _SHA256, "created_by": "admin", **stamps}
    names = [f"{kind}{number}" for kind in ("busy", "idle") for number in range(count)]
    expires = time.time() + 86400
    with writing(engine) as connection:
        counts = {"deprocated_count": 10, "failed_count": 5, **stamps}
        connection.execute(insert(packages), [{"name": f"p{number}", **counts} for number in range(1, files)])
        named = [{"package": f"p{number}", "file_name": f"p{number}_1_all.deb", **made} for number in range(1, files)]
        connection.execute(insert(package_files), named)
        assert connection.execute(package_file_tags.select()).first() is None
        connection.execute(
            insert(mirrors), [{"name": name, "description": name, "psk": b"", **stamps} for name in names]
        )
        linked = [{"mirror": name, "repo": name.rstrip("0123456789"), "ordinal": 0} for name in names]
        connection.execute(insert(mirror_repos), linked)
        roles = [(USER.name, "admin"), *((name, "mirror") for name in names)]
        opened = [
            {"token_hash": digest(f"bench-{name}"), "name": name, "role": role, "expires": expires}
            for name, role in roles
        ]
        connection.execute(insert(sessions), opened)


if __name__ == "__main__":
    main()
