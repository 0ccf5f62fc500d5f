"""An agent that does one sync whenever it is told to, for measuring the sync alone.

Its argument is a mirror.conf. Each line on stdin starts a sync: the JSON list of the changed packages, empty for a full
sync. As in an agent that follows its server, the server is asked what changed, and tells what it has of these packages.
Each line on stdout answers one: seconds, peak_kib.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from bench.meter import read_peak_kib, reset_peak
from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.model.records import Repo
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_agent.watch import memory
from packrat_core.log import set_up_log


async def follow(mirror: MirrorContext) -> None:
    """Run syncs until stdin ends."""
    position: str | None = None
    repo: Repo | None = None
    async with connected(mirror.config) as server:
        while line := await asyncio.to_thread(sys.stdin.readline):
            packages = json.loads(line)
            reset_peak(os.getpid())
            started = time.perf_counter()
            if repo is None or not packages:
                position = await _sync_everything(mirror, server)
            else:
                position = await _sync_change(mirror, server, repo, packages, position)
            seconds = time.perf_counter() - started
            print(json.dumps({"seconds": seconds, "peak_kib": read_peak_kib(os.getpid())}), flush=True)
            if not packages:
                # An agent that follows its server reads its repositories at a full sync, too.
                [repo] = mirror.store.repos.all()


async def _sync_everything(mirror: MirrorContext, server: Packrat) -> str | None:
    """Do a full sync, and give the server's position."""
    position = (await server.changes(None, 0)).position
    await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
    memory.settle()
    return position


async def _sync_change(
    mirror: MirrorContext, server: Packrat, repo: Repo, packages: list[str], position: str | None
) -> str | None:
    """Sync what changed, and give the server's position.

    Args:
        mirror: The mirror.
        server: The server to ask.
        repo: The only repository.
        packages: The names of the packages that changed, for a server that does not tell.
        position: That of the last sync.
    """
    changes = await server.changes(position, 0)
    order = Order(changes.repos.get(repo.name) or packages)
    await sync_repo(repo, order, server, mirror, lambda files, size: None)
    return changes.position


def main() -> None:
    """Start as `run` does."""
    memory.be_sparing()
    set_up_log("warning")
    os.umask(0o022)
    with open_mirror(load(Path(sys.argv[1]))) as mirror:
        asyncio.run(follow(mirror))


if __name__ == "__main__":
    main()
