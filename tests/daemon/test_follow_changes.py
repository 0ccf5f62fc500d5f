"""follow, against a server with `changes`: nothing is lost, nothing waits for something else, idle costs little."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from packrat_agent.watch.news import News
from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from packrat_server.store.tables import journal
from support.ear import DEADLINE_S, QUICK, Ear, following
from support.stage import Stage, stage


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path, None) as set_up:
        yield set_up


def test_changes_are_reported_by_name_on_one_connection(ours: Stage) -> None:
    async def test(ear: Ear) -> None:
        assert ear.packrat.has_changes
        await ear.until(lambda: bool(ear.news))
        assert ear.news[0] == News({"apt-dev": None}, mirror=True)
        await asyncio.to_thread(ours.server.put_deb, Deb("first", "1", "all"))
        await ear.until(lambda: ear.heard("apt-dev", "first"))

    assert asyncio.run(following(ours.server.url, ours.psk, test)) is None


def test_nothing_is_lost_in_a_burst(ours: Stage) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        debs = [Deb(f"burst{number}", "1", "all") for number in range(8)]
        for deb in debs:
            await asyncio.to_thread(ours.server.put_deb, deb)
        await ear.until(lambda: all(ear.heard("apt-dev", deb.name) for deb in debs))

    assert asyncio.run(following(ours.server.url, ours.psk, test)) is None


def test_changes_that_come_one_by_one_do_not_wait_for_each_other(ours: Stage) -> None:
    """An agent that paused after each of them would fall further behind the more there are."""

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        for number in range(3):
            name = f"pkg-{number}"
            await asyncio.to_thread(ours.server.put_deb, Deb(name, "1", "all"))
            await ear.until(partial(ear.heard, "apt-dev", name))

    assert asyncio.run(following(ours.server.url, ours.psk, test, replace(QUICK, pause_s=3600.0))) is None


def test_a_server_that_forgot_its_history_is_reported(ours: Stage) -> None:
    """As after a restore: the position that the agent has is of another history."""

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        engine = open_database(ours.server.data)
        with engine.begin() as connection:
            connection.execute(update(journal).values(mark="another"))
        engine.dispose()
        await asyncio.to_thread(ours.server.put_deb, Deb("first", "1", "all"))
        await ear.until(lambda: any(news.history_lost for news in ear.news))
        assert [news.repos for news in ear.news if news.history_lost] == [{"apt-dev": None}]

    assert asyncio.run(following(ours.server.url, ours.psk, test)) is None


def test_a_repository_that_nobody_knew_is_news_of_the_mirror(ours: Stage) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        before = len(ear.news)
        engine = open_database(ours.server.data)
        admin.save_repo(engine, admin.NewRepo("apt-stage", "apt", "stage", ("bookworm",)))
        admin.save_mirror(engine, "lab", ["apt-dev", "apt-stage"])
        engine.dispose()
        await ear.until(lambda: any(news.mirror for news in ear.news[before:]))
        assert not any("apt-stage" in news.repos for news in ear.news[before:])

    assert asyncio.run(following(ours.server.url, ours.psk, test)) is None


def test_idle_changes_are_asked_for_seldom(ours: Stage) -> None:
    """A question with nothing to tell takes its two seconds."""

    async def test(ear: Ear) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await ear.packrat.fourth.wait()
        # The first asks for the position.
        assert ear.packrat.asked[3] - ear.packrat.asked[1] > 3

    assert asyncio.run(following(ours.server.url, ours.psk, test)) is None
