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
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import ready
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_agent.watch import memory
from packrat_core.log import set_up_log


async def follow(mirror: MirrorContext) -> None:
    """Run syncs until stdin ends."""
    position: str | None = None
    async with connected(mirror.config) as server:
        while line := await asyncio.to_thread(sys.stdin.readline):
            packages = json.loads(line)
            reset_peak(os.getpid())
            started = time.perf_counter()
            position = await _sync(mirror, server, packages, position)
            seconds = time.perf_counter() - started
            print(json.dumps({"seconds": seconds, "peak_kib": read_peak_kib(os.getpid())}), flush=True)


async def _sync(mirror: MirrorContext, server: Packrat, packages: list[str], position: str | None) -> str | None:
    """Sync, and give the server's position."""
    if not packages:
        position = (await server.changes(None, 0)).position
        await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
        memory.settle()
        return position
    [repo] = mirror.store.repos.all()
    changes = await server.changes(position, 0)
    order = Order(changes.repos.get(repo.name) or packages)
    await sync_repo(repo, order, server, mirror, lambda files, size: None)
    return changes.position


def main() -> None:
    """Start as `run` does."""
    memory.be_sparing()
    set_up_log("warning")
    os.umask(0o022)
    with ready(load(Path(sys.argv[1]))) as mirror:
        asyncio.run(follow(mirror))


if __name__ == "__main__":
    main()
