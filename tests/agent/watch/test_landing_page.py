"""The landing page follows what is published, whatever is in its way."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_agent.config.load import load
from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.status.reading import read_status
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.landing.site import publish_site
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.watch import landing_page
from packrat_agent.watch.landing_page import PagePace, keep_page
from support.mirror_conf import write_mirror_conf

ROUNDS = 20
"""Rounds of the event loop in which a task comes to where it has to wait."""

AT_ONCE = PagePace(settle_s=0.0, rest_s=3600.0, again_s=0.0)


async def pass_rounds() -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


def test_a_stop_while_the_page_waits_for_its_turn_does_not_lose_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    async def stop(context: MirrorContext) -> None:
        async with context.turns.publishing:
            keeping = asyncio.create_task(keep_page(context, AT_ONCE))
            context.page.arrived.set()
            await pass_rounds()
            keeping.cancel()
            await pass_rounds()
        await asyncio.gather(keeping, return_exceptions=True)

    with open_mirror(load(write_mirror_conf(tmp_path))) as context:
        asyncio.run(stop(context))
        assert (context.root / "index.html").is_file()


def test_without_news_the_page_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    async def keep(context: MirrorContext) -> None:
        keeping = asyncio.create_task(keep_page(context, AT_ONCE))
        await pass_rounds()
        assert not context.turns.publishing.locked()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    with open_mirror(load(write_mirror_conf(tmp_path))) as context:
        asyncio.run(keep(context))
        assert not (context.root / "index.html").exists()


def test_no_page_is_written_where_the_disk_of_root_dir_is_gone(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    async def keep(context: MirrorContext) -> None:
        keeping = asyncio.create_task(keep_page(context, AT_ONCE))
        context.page.arrived.set()
        async with asyncio.timeout(60):
            while not read_status(context.config).side_faults:
                assert not keeping.done()
                await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    with open_mirror(load(write_mirror_conf(tmp_path))) as context:
        (context.root / AGENT_DIR / "mark").rename(tmp_path / "mark")
        asyncio.run(keep(context))
        assert not (context.root / "index.html").exists()


def test_an_unexpected_error_is_shown_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir()
    shown: list[list[str]] = []

    def fail_once(context: MirrorContext) -> None:
        shown.append([fault.reason for fault in read_status(context.config).side_faults])
        if len(shown) < 3:
            raise OSError("nobody foresaw this")
        publish_site(context)

    monkeypatch.setattr(landing_page, "publish_site", fail_once)

    async def keep(context: MirrorContext) -> None:
        keeping = asyncio.create_task(keep_page(context, AT_ONCE))
        context.page.arrived.set()
        async with asyncio.timeout(60):
            while not shown or read_status(context.config).side_faults or not (context.root / "index.html").is_file():
                assert not keeping.done()
                await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    with open_mirror(load(write_mirror_conf(tmp_path))) as context, capture_logs() as logged:
        asyncio.run(keep(context))
        assert read_status(context.config).side_faults == ()
    reason = "the landing page is behind: internal error, please report it: OSError('nobody foresaw this')"
    assert shown == [[], [reason], [reason]]
    assert [(line["log_level"], line["reason"]) for line in logged if line["event"] == "page"] == [("error", reason)]
