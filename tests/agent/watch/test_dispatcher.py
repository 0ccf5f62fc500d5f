"""The dispatcher: on a disk that says no, it gives back room without taking what is in use."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_agent.sync.turns import Turns
from packrat_agent.watch.dispatcher import Dispatcher
from packrat_core.errors import DiskError

BETWEEN = 5
"""More steps of the event loop, and of its threads, than it takes to remove a file."""


class Outage:
    """What is told of the server and the disk."""

    def note(self, error: Exception) -> None:
        """Take note of an error."""

    def delay_s(self) -> float:
        """Say how long work pauses."""
        return 3600.0


def test_a_publication_under_way_is_not_cleared_when_the_disk_fails(tmp_path: Path) -> None:
    staging = tmp_path / ".packrat-agent" / "staging"
    staging.mkdir(parents=True)
    spare, left = staging / "writing", staging / ("a" * 64)
    spare.write_bytes(b"about to be renamed")
    left.write_bytes(b"wanted no more")
    turns = Turns(SharedDownloads(2))
    store = SimpleNamespace(record_reads=None, wanted=SimpleNamespace(awaited=frozenset))
    context: Any = SimpleNamespace(staging=staging, turns=turns, store=store)

    async def work() -> None:
        dispatcher = Dispatcher(context, Outage(), lambda what, files, size: None)  # type: ignore[arg-type]
        dispatcher._workers._errors.append(DiskError("no"))
        async with turns.publishing:
            working = asyncio.create_task(dispatcher.work(None))  # type: ignore[arg-type]
            for _ in range(BETWEEN):
                await asyncio.sleep(0.1)
            assert spare.exists()
            assert left.exists()
        while left.exists():
            await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(asyncio.wait_for(work(), 60))
