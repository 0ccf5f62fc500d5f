"""heartbeat: what failed is told to be over only once it is."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from packrat_agent.config.load import load
from packrat_agent.state.facts import Failure
from packrat_agent.state.store import Store
from packrat_agent.state.unwritten import UnwrittenMark
from packrat_agent.status.nagios import Level, Limit, Limits, judge
from packrat_agent.status.reading import read_status
from packrat_agent.watch.heartbeat import Heartbeat
from packrat_agent.watch.outage_log import OutageLog
from packrat_core.errors import DiskError, ServerUnavailable
from support.mirror_conf import write_mirror_conf

LIMITS = Limits(disk_percent=Limit(), allow_stopped=True, allow_plain_http=True)


async def _beat() -> None:
    """A server that takes every heartbeat."""


def test_a_scan_that_failed_is_over_once_another_one_succeeds(tmp_path: Path) -> None:
    config = load(write_mirror_conf(tmp_path, "https://packrat.example.com", name="prod"))
    config.mirror.root_dir.mkdir()
    store = Store(config.mirror.state_db)
    outage = OutageLog(store, config.packrat.url, UnwrittenMark(config.mirror.state_db))
    looks = SimpleNamespace(failed=True)
    workers: Any = SimpleNamespace(finished=1, is_idle=True, busy=lambda _lane: False)
    server: Any = SimpleNamespace(heartbeat=_beat)
    heartbeat = Heartbeat(workers, outage, lambda: looks.failed)
    outage.note(DiskError("the scan failed"))
    outage.note(ServerUnavailable("the server is away"))
    assert heartbeat.is_due
    asyncio.run(heartbeat.beat(server))
    found = judge(read_status(config, 10), LIMITS)
    assert (found.level, "the scan failed" in found.line, "away" in found.line) == (Level.CRITICAL, True, False)
    looks.failed = False
    asyncio.run(heartbeat.beat(server))
    assert store.facts.read(Failure) is None
    assert outage.reason == ""
    store.close()
