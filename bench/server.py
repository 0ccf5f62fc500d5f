"""The packrat server that our own contenders mirror: filled at once, run as a process of its own.

Each contender has a lane: a mirror, a repository and a tag of its own, so that nobody works while another one is
measured. The corpus goes straight into the tables, since uploading it is not what is measured; what is promoted later
goes through the HTTP API.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, insert, select

from bench.corpus import Corpus, Package
from bench.meter import BenchError
from bench.setting import Setting
from bench.trees import TREES
from packrat_server import admin
from packrat_server.admin.new_server import init
from packrat_server.client.uploader import Uploader, signed_in
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import package_file_tags, package_files, packages, tags

LANE = "bench"
"""Name of a mirror, its repository and its tag."""
_LOOK_S = 0.001


@dataclass(frozen=True, slots=True)
class Server:
    """A running packrat server with an uploader's open session.

    psks: lane → the password of its mirror. uris: file name → the URI of its record.
    """

    url: str
    psks: Mapping[str, str]
    uris: dict[str, str]
    runner: asyncio.Runner
    uploader: Uploader

    def promote(self, package: Package, *, there: bool, lane: str = LANE) -> None:
        """Tag a package, or take the tag off."""
        self.runner.run(self._promote(package, there, lane))

    def promote_until(
        self, package: Package, arrived: Callable[[], bool], within_s: float, *, there: bool, lane: str = LANE
    ) -> float:
        """The same, and wait until it has arrived; gives the seconds from before the request on.

        Raises: TimeoutError
        """

        async def do() -> float:
            started = time.perf_counter()
            async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
                group.create_task(self._promote(package, there, lane))
                while not arrived():
                    await asyncio.sleep(_LOOK_S)
                return time.perf_counter() - started

        return self.runner.run(do())

    async def _promote(self, package: Package, there: bool, lane: str) -> None:
        uri = self.uris[package.path.name]
        await (self.uploader.tag(uri, lane) if there else self.uploader.untag(uri, lane))


@contextmanager
def running_server(setting: Setting, corpus: Corpus, lanes: Sequence[str] = (LANE,)) -> Iterator[Server]:
    """Fill a new server and run it."""
    data = setting.directory / "server"
    password = init(data)
    engine = open_database(data)
    psks = {lane: _add_lane(engine, lane, corpus.kind) for lane in lanes}
    uris = _fill(engine, data, corpus, lanes)
    engine.dispose()
    line = [sys.executable, "-m", "packrat_server.cli", "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(line, env=setting.environment, stderr=subprocess.PIPE, text=True)
    try:
        url = read_url(process)
        setting.daemons.pids["server"] = process.pid
        with asyncio.Runner() as runner:
            session = signed_in(url, "admin", password)
            uploader = runner.run(_enter(session))
            try:
                yield Server(url, psks, uris, runner, uploader)
            finally:
                runner.run(_leave(session))
    finally:
        setting.daemons.pids.pop("server", None)
        process.terminate()
        process.communicate()


async def _enter(session: AbstractAsyncContextManager[Uploader]) -> Uploader:
    return await session.__aenter__()


async def _leave(session: AbstractAsyncContextManager[Uploader]) -> None:
    await session.__aexit__(None, None, None)


def read_url(process: "subprocess.Popen[str]") -> str:
    """Read from the log of a server that starts where it listens."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        for word in line.split():
            if word.startswith("url="):
                return word.removeprefix("url=")
    raise BenchError(f"the packrat server did not start: {''.join(said)[-1500:]}")


def _add_lane(engine: Engine, lane: str, kind: str) -> str:
    now = datetime.now(UTC)
    with writing(engine) as connection:
        row = {"name": lane, "change_control_required": False, "created": now, "updated": now}
        connection.execute(insert(tags), [row])
    versions = (TREES[kind].distro_version,)
    admin.save_repo(engine, admin.NewRepo(lane, kind, lane, versions, "Benchmark", show_only_latest=False))
    psk = admin.save_mirror(engine, lane, [lane], "Benchmark")
    assert psk is not None
    return psk


def _fill(engine: Engine, data: Path, corpus: Corpus, lanes: Sequence[str]) -> dict[str, str]:
    now = datetime.now(UTC)
    everything = (*corpus.packages, *corpus.extra)
    for package in everything:
        target = blob_path(data, package.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.link(package.path, target)
    with writing(engine) as connection:
        counts = {"deprocated_count": 10, "failed_count": 5, "created": now, "updated": now}
        names = dict.fromkeys(package.name for package in everything)
        connection.execute(insert(packages), [{"name": name, **counts} for name in names])
        connection.execute(insert(package_files), [_row(package, corpus.kind, now) for package in everything])
        columns = package_files.c
        ids = {row.file_name: row.id for row in connection.execute(select(columns.file_name, columns.id)).all()}
        for lane in lanes:
            connection.execute(insert(package_file_tags), _tagged(corpus.packages, ids, lane, now))
    return {name: f"/api/v2/Package/PackageFile:{number}:" for name, number in ids.items()}


def _row(package: Package, kind: str, now: datetime) -> dict[str, object]:
    return {
        "package": package.name,
        "distro_version": TREES[kind].distro_version,
        "version": package.version,
        "type": TREES[kind].file_type,
        "arch": {"amd64": "x86_64"}.get(package.architecture, package.architecture),
        "justification": "",
        "provenance": "",
        "file_name": package.path.name,
        "sha256": package.sha256,
        "size": package.size,
        "epoch": 0 if kind == "yum" else None,
        "created_by": "admin",
        "created": now,
        "updated": now,
    }


def _tagged(chosen: Sequence[Package], ids: dict[str, int], lane: str, now: datetime) -> list[dict[str, object]]:
    return [{"package_file": ids[package.path.name], "tag": lane, "by": "admin", "at": now} for package in chosen]
