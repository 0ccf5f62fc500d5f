"""An agent that runs publishes of a repository what a change differs in, and what comes out is the whole."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import ready
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from support.keys import Key
from support.kinds import DOCKER, JSON, PYPI, Kind
from support.type_stage import TypeStage, type_stage


async def change(mirror: MirrorContext, server: Packrat) -> SyncResult:
    [repo] = mirror.store.wanted.repos()
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
            with ready(load(made.lab.config)) as mirror:
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
