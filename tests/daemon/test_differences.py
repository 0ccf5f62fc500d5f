"""An agent that runs publishes of a repository what a change differs in, and what comes out is the whole."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_demo.build_deb import Deb, build_deb
from support.keys import Key
from support.kinds import DOCKER, JSON, PYPI, Kind
from support.original_server import OriginalServer, original_server
from support.stage import Server, Stage
from support.type_stage import TypeStage, type_stage


async def change(mirror: MirrorContext, server: Packrat) -> SyncResult:
    [repo] = mirror.store.repos.all()
    result = await sync_repo(repo, Order(["one"]), server, mirror, lambda files, size: None)
    assert not result.failed
    return result


def recorded(made: TypeStage) -> dict[str, tuple[int, float]]:
    """Path → inode of all that is published, and when it was last recorded."""
    with closing(sqlite3.connect(made.lab.directory / "state" / "state.db")) as db:
        rows = db.execute("SELECT path, inode, verified_at FROM live_files").fetchall()
    assert all((made.lab.www / path).lstat().st_ino == inode for path, inode, _ in rows)
    return {path: (inode, at) for path, inode, at in rows}


@pytest.mark.parametrize("kind", [DOCKER, PYPI, JSON], ids=lambda kind: kind.name)
def test_after_changes_a_full_sync_finds_nothing_to_publish(kind: Kind, key: Key, tmp_path: Path) -> None:
    with type_stage(tmp_path, key, kind) as made:
        made.put("other", "1.0")
        uris = [made.put("one", version, inside=version.encode()) for version in ("1.0", "1.1")]

        async def follow() -> None:
            with open_mirror(load(made.lab.config)) as mirror:
                async with connected(mirror.config) as server:
                    await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
                    before = recorded(made)
                    await asyncio.to_thread(made.put, "one", "1.2", inside=b"1.2")
                    assert (await change(mirror, server)).publications
                    after = recorded(made)
                    assert after.keys() > before.keys()
                    changed = {path for path, seen in before.items() if after[path] != seen}
                    # Nothing of the other package is written or recorded again, nor of the image's other tag.
                    assert not [path for path in changed if "other" in path or path.endswith("/manifests/1.0")]
                    await asyncio.to_thread(made.lab.server.act, uris[1], "fail")
                    await change(mirror, server)
                    assert not (await change(mirror, server)).publications
                    summary = await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
                    assert not [name for result in summary.syncs for name in result.publications]

        asyncio.run(follow())
        assert made.lab.agent("verify").returncode == 0


def put_deb(server: OriginalServer, name: str) -> int:
    deb = Deb(name, "1", "all")
    return server.put(name, "1", deb.file_name, build_deb(deb))


def hold_open(reads: Any) -> tuple[threading.Event, threading.Event]:
    """Let time pass after the next records are remembered; gives what is set then, and what ends it."""
    noted, over, note = threading.Event(), threading.Event(), reads.note

    def note_and_wait(*arguments: Any) -> Any:
        reads.note = note
        result = note(*arguments)
        noted.set()
        assert over.wait(120)
        return result

    reads.note = note_and_wait
    return noted, over


def test_a_change_adds_no_file_to_an_index_that_has_the_former_file_of_its_record(tmp_path: Path) -> None:
    with original_server() as original:
        first = put_deb(original, "first")
        put_deb(original, "other")
        made = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
        made.write_config()

        async def follow() -> None:
            with open_mirror(load(made.config)) as mirror:
                async with connected(mirror.config) as server:

                    async def run(order: Order) -> None:
                        result = await sync_repo(repo, order, server, mirror, lambda files, size: None)
                        assert not result.failed

                    await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
                    [repo] = mirror.store.repos.all()
                    await run(Order(["other"]))
                    # The server is rebuilt: the URI of the first file is that of another one.
                    second = put_deb(original, "second")
                    original.files[first] = replace(original.files[second], number=first)
                    original.delete(second)
                    mirror.store.record_reads.distrust(time.time())
                    noted, over = hold_open(mirror.store.record_reads)
                    full = asyncio.ensure_future(run(Order(None, reread=True)))
                    assert await asyncio.to_thread(noted.wait, 120)
                    changed = asyncio.ensure_future(run(Order(["second"])))
                    # It is published at once, or waits for the other one.
                    await asyncio.wait([changed], timeout=1.5)
                    over.set()
                    await changed
                    names = [line for line in made.packages().splitlines() if line.startswith("Package: ")]
                    assert names == ["Package: other", "Package: second"]
                    await full

        asyncio.run(follow())
        names = [line for line in made.packages().splitlines() if line.startswith("Package: ")]
        assert names == ["Package: other", "Package: second"]
