"""heartbeat: what failed is told to be over only once it is."""

import asyncio
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from packrat_agent.config.load import load
from packrat_agent.state.facts import Failure, ServerHealth
from packrat_agent.state.store import Store
from packrat_agent.state.unwritten import UnwrittenMark
from packrat_agent.status.nagios import Level, Limit, Limits, judge
from packrat_agent.status.reading import read_status
from packrat_agent.watch.heartbeat import Heartbeat
from packrat_agent.watch.outage_log import OutageLog
from packrat_agent.watch.workers import Lane
from packrat_core.errors import (
    DiskError,
    PackratError,
    ServerBroken,
    ServerRefused,
    ServerUnavailable,
    SigningError,
)
from support.mirror_conf import write_mirror_conf

LIMITS = Limits(disk_percent=Limit(), allow_stopped=True, allow_plain_http=True)


async def _beat() -> None:
    """A server that takes every heartbeat."""


def test_a_heartbeat_is_due_once_after_each_work_and_waits_for_changes(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    outage = OutageLog(store, "https://packrat.example.com", UnwrittenMark(tmp_path / "state.db"))
    busy = {Lane.HEALTH: frozenset[str](), Lane.CHANGE: frozenset[str]()}
    workers: Any = SimpleNamespace(finished=0, is_idle=False, busy=busy.__getitem__)
    asked: list[str] = []

    async def hear() -> None:
        asked.append("heartbeat")

    server: Any = SimpleNamespace(heartbeat=hear)
    heartbeat = Heartbeat(workers, outage, lambda: False)
    assert not heartbeat.is_due
    workers.finished = 1
    assert heartbeat.is_due
    busy[Lane.HEALTH] = frozenset({"beating"})
    assert not heartbeat.is_due
    asyncio.run(heartbeat.beat(server))
    busy[Lane.HEALTH] = frozenset()
    # The heartbeat itself is no work to tell of.
    workers.finished = 2
    assert (asked, heartbeat.is_due) == (["heartbeat"], False)
    workers.finished, busy[Lane.CHANGE] = 3, frozenset({"apt-dev"})
    assert not heartbeat.is_due
    busy[Lane.CHANGE] = frozenset()
    assert heartbeat.is_due
    outage.note(ServerUnavailable("the server is away"))
    assert not heartbeat.is_due
    workers.is_idle = True
    assert heartbeat.is_due
    store.close()


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


@pytest.mark.parametrize(
    ("error", "up", "answered"),
    [
        (ServerUnavailable("refused"), False, False),
        (ServerRefused("wrong psk"), False, True),
        (ServerBroken("no JSON"), False, True),
        (SigningError("no key"), True, True),
        (DiskError("full"), None, False),
    ],
)
def test_what_an_error_says_about_the_server(
    tmp_path: Path, error: PackratError, up: bool | None, answered: bool
) -> None:
    with closing(Store(tmp_path / "state.db")) as store:
        store.facts.expect_server("https://packrat.example.com")
        OutageLog(store, "https://packrat.example.com", UnwrittenMark(tmp_path / "state.db")).note(error)
        health = store.facts.read(ServerHealth)
    assert health is not None
    assert (health.up, health.answered) == (up, answered)
