"""follow: nothing that changes stays unseen, whatever the server forgets; few polls, none of them hot."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import update

from packrat_agent.model.changes import Changes
from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.changes import follow
from packrat_agent.watch.news import News, Pace
from packrat_core.backoff import BackOff
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.responses import LoginRefused
from packrat_core.errors import PackratError, ServerUnavailable
from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from packrat_server.store.tables import journal
from support.original_server import OriginalServer, StoredRepo, original_server
from support.stage import Stage, stage

DEADLINE_S = 30.0
QUICK = Pace(
    changes_s=2,
    poll_s=(1, 1),
    late_s=0.5,
    echo_s=(0.05, 0.1),
    rest_s=(0.02, 0.05),
    list_s=(0.6, 2.0),
    list_each_s=0.2,
    mirror_s=(0.8, 1.0),
    first_poll_s=0.0,
    back_off=BackOff(0.1, 2.0),
    strained_s=30.0,
)
"""All but the polls ten times as fast; only what polls can't tell is told by listing."""
ONLY_POLLS = Pace(
    poll_s=(1, 1),
    echo_s=(500.0, 500.0),
    rest_s=(0.0, 0.0),
    list_s=(1000.0, 1000.0),
    mirror_s=(1000.0, 1000.0),
    first_poll_s=0.0,
)
"""Whatever is told after the first news, a poll told."""


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        server.manners.minimum_s = 0.5
        yield server


class Counting(Packrat):
    """Remembers when it was asked for changes."""

    def __init__(self, client: CinpClient, name: str, psk: str | None) -> None:
        super().__init__(client, name, psk)
        self.asked: list[float] = []
        self.fourth = asyncio.Event()

    async def changes(self, position: str | None, timeout_s: int) -> Changes:
        self.asked.append(time.monotonic())
        if len(self.asked) == 4:
            self.fourth.set()
        return await super().changes(position, timeout_s)


class Ear:
    """Gathers what `follow` tells, as the agent would."""

    def __init__(self, packrat: Counting, repos: tuple[Repo, ...], pace: Pace) -> None:
        self.packrat = packrat
        self.repos = repos
        self.news: list[News] = []
        self._came = asyncio.Event()
        self.following: asyncio.Task[None] = asyncio.create_task(follow(packrat, lambda: self.repos, self.tell, pace))

    def tell(self, news: News) -> None:
        self.news.append(news)
        self._came.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for news after which it holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self._came.clear()
                await self._came.wait()

    def heard(self, repo: str, package: str | None, since: int = 0) -> bool:
        """Whether a package of a repository, or all of it (None), was told."""
        told = [news.repos[repo] for news in self.news[since:] if repo in news.repos]
        return any(names is None if package is None else names is not None and package in names for names in told)

    async def listed(self, repo: str) -> frozenset[str]:
        """Ask what the agent would ask."""
        one = next(one for one in self.repos if one.name == repo)
        return frozenset((await self.packrat.wanted(one, None, {})).uris)


async def following(
    url: str, psk: str | None, test: Callable[[Ear], Awaitable[None]], pace: Pace = QUICK
) -> PackratError | None:
    """Run a test while following; gives the error that following ended with."""
    async with CinpClient(url) as client:
        packrat = Counting(client, "lab", psk)
        await packrat.open()
        ear = Ear(packrat, (await packrat.view()).repos, pace)
        try:
            await test(ear)
        finally:
            ear.following.cancel()
            done = await asyncio.gather(ear.following, return_exceptions=True)
        return done[0] if isinstance(done[0], PackratError) else None


def test_the_first_news_is_everything(original: OriginalServer) -> None:
    original.repos["apt-stage"] = StoredRepo("stage")

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        assert ear.news[0] == News({"apt-dev": None, "apt-stage": None}, mirror=True)

    assert asyncio.run(following(original.url, None, test)) is None


def test_a_poll_that_is_answered_is_told(original: OriginalServer) -> None:
    number = original.put("first", "1", "first_1_all.deb", b"x", tags=())

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        # A poll tells only what happens while it is open, so something happens until it has told.
        async with asyncio.timeout(DEADLINE_S):
            while News({"apt-dev": None}) not in ear.news[2:]:
                await asyncio.to_thread(original.tag, number, "dev")

    assert asyncio.run(following(original.url, None, test, ONLY_POLLS)) is None


def test_an_answer_is_a_hint_for_the_other_repositories_too(original: OriginalServer) -> None:
    original.repos |= {f"apt-{number}": StoredRepo("stage") for number in range(4)}
    original.manners.spurious = True
    number = original.put("first", "1", "first_1_all.deb", b"x", tags=())

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        async with asyncio.timeout(DEADLINE_S):
            while not [news for news in ear.news[1:] if len(news.repos) > 1]:
                await asyncio.to_thread(original.tag, number, "stage")
        told = next(dict(news.repos) for news in ear.news[1:] if len(news.repos) > 1)
        assert set(told) == set(original.repos)
        assert sorted(map(str, told.values())) == sorted(["None", *[str(frozenset({"first"}))] * 4])

    assert asyncio.run(following(original.url, None, test, ONLY_POLLS)) is None


@pytest.mark.parametrize("repos", [1, 2, 30])
def test_what_happens_between_polls_is_listed(original: OriginalServer, repos: int) -> None:
    """The file is put without a word to anybody, as an upload whose notification was lost."""
    original.repos |= {f"apt-{number}": StoredRepo("dev") for number in range(repos - 1)}

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        before = len(ear.news)
        number = original.put("quiet", "1", "quiet_1_all.deb", b"x", tags=())
        original.files[number].tags.add("dev")
        await ear.until(lambda: all(ear.heard(name, None, before) for name in original.repos))
        assert len(await ear.listed("apt-dev")) == 1

    assert asyncio.run(following(original.url, None, test)) is None
    assert original.polls_at_once <= 2


def test_a_late_and_repeated_answer_is_told(original: OriginalServer) -> None:
    original.manners.late = original.manners.twice = True
    number = original.put("first", "1", "first_1_all.deb", b"x", tags=())

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        async with asyncio.timeout(DEADLINE_S):
            while len(ear.news) < 4:
                await asyncio.to_thread(original.tag, number, "dev")

    assert asyncio.run(following(original.url, None, test, ONLY_POLLS)) is None


def test_a_strained_server_is_polled_once_at_a_time() -> None:
    with original_server(workers=1) as original:
        original.manners.minimum_s = 0.5
        original.repos |= {f"apt-{number}": StoredRepo("dev") for number in range(5)}

        async def test(ear: Ear) -> None:
            # The second poll waited for the worker that the first one held.
            await ear.until(lambda: original.count("(poll)") >= 3)
            before, since = original.count("(poll)"), time.monotonic()
            await ear.until(lambda: original.count("(poll)") >= before + 3)
            # One worker, one poll: each began when the one before was over.
            begun = [one.at for one in original.asked if one.at >= since and one.target.endswith("(poll)")]
            assert all(later - earlier > 0.4 for earlier, later in pairwise(begun))

        assert asyncio.run(following(original.url, None, test)) is None


def test_bulk_work_leaves_the_server_workers_for_others(original: OriginalServer) -> None:
    """Reading two thousand records: polls wait, lists go on, one worker of three is always free."""
    original.put_many(2000)
    original.manners.record_s = 0.001

    async def test(ear: Ear) -> None:
        await ear.until(lambda: original.count("(poll)") > 1)
        reading = asyncio.create_task(ear.packrat.wanted(ear.repos[0], None, {}))
        await asyncio.to_thread(original.until_asked, 1, "PackageFile:")
        # Polls that were open already go on to their end.
        await asyncio.to_thread(original.until_asked, 4, "PackageFile:")
        polls, lists, waits = original.count("(poll)"), original.count("LIST"), len(original.waits)
        original.tag(1, "dev")
        before = len(ear.news)
        number = original.put("quiet", "1", "quiet_1_all.deb", b"x", tags=())
        original.files[number].tags.add("dev")
        await ear.until(lambda: ear.heard("apt-dev", None, before))
        assert not reading.done(), "it was heard while the reading went on"
        assert len((await reading).files) == 2000
        assert original.count("(poll)") == polls
        assert original.count("LIST") > lists
        assert original.waits[waits:] == []
        assert original.gets_at_once <= 2
        # Then it polls again.
        await ear.until(lambda: original.count("(poll)") > polls)

    assert asyncio.run(following(original.url, None, test)) is None


def test_empty_answers_at_once_are_not_asked_for_again_and_again(original: OriginalServer) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        original.manners.deaf = True
        since = time.monotonic()
        spent_s = await asyncio.to_thread(original.until_asked, 8, "LIST", since)
        assert original.count("(poll)", since) <= 8 + spent_s / 0.5

    assert asyncio.run(following(original.url, None, test)) is None


def test_errors_at_once_are_retried_a_few_times_and_end_it(original: OriginalServer) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: original.count("(poll)") > 0)
        original.manners.html = True
        since = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait([ear.following])
        assert original.count("(poll)", since) <= 4

    assert isinstance(asyncio.run(following(original.url, None, test)), ServerUnavailable)


def test_a_server_that_was_away_is_told_of_when_it_is_back(original: OriginalServer) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: original.count("LIST") > 1)
        assert not any(news.was_away for news in ear.news)
        since = time.monotonic()
        original.manners.html = True
        await asyncio.to_thread(original.until_asked, 1, "", since)
        original.manners.html = False
        await ear.until(lambda: any(news.was_away for news in ear.news))
        [news] = [news for news in ear.news if news.was_away]
        assert (dict(news.repos), news.mirror) == ({"apt-dev": None}, True)

    assert asyncio.run(following(original.url, None, test)) is None


def test_a_login_that_is_refused_ends_it_at_once(original: OriginalServer) -> None:
    original.users["lab"] = "lab_psk"
    original.manners.closed = True

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        original.users["lab"] = "another"
        original.revoke()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait([ear.following])
        # The first opened the session; whoever noticed that it ended, the psk was sent once more.
        assert original.count("(login)") == 2

    assert isinstance(asyncio.run(following(original.url, "lab_psk", test)), LoginRefused)


def test_a_repository_that_is_gone_is_news_of_the_mirror_and_stops_no_other(original: OriginalServer) -> None:
    original.repos["apt-old"] = StoredRepo("dev")

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        del original.repos["apt-old"]
        before = len(ear.news)
        await ear.until(lambda: any(news.mirror and not news.repos for news in ear.news[before:]))
        number = original.put("first", "1", "first_1_all.deb", b"x", tags=())
        before = original.count("apt-dev:(poll)")
        await ear.until(lambda: original.count("apt-dev:(poll)") > before + 1)
        assert number == 1

    assert asyncio.run(following(original.url, None, test)) is None


def test_the_mirror_itself_is_asked_for_regularly(original: OriginalServer) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: sum(news.mirror for news in ear.news) >= 3)

    assert asyncio.run(following(original.url, None, test)) is None


def test_repositories_may_come_while_following(original: OriginalServer) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        original.repos["apt-new"] = StoredRepo("stage")
        ear.repos = (await ear.packrat.view()).repos
        await ear.until(lambda: ear.heard("apt-new", None) and original.count("apt-new:(poll)") > 0)

    assert asyncio.run(following(original.url, None, test)) is None


# The same against our own server, which loses nothing.


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path, None) as set_up:
        yield set_up


def test_changes_are_told_by_name_on_one_connection(ours: Stage) -> None:
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


def test_of_changes_that_come_one_by_one_none_waits_for_another(ours: Stage) -> None:
    """Whoever paused after each of them would be the further behind the more there are."""

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        for number in range(3):
            name = f"pkg-{number}"
            await asyncio.to_thread(ours.server.put_deb, Deb(name, "1", "all"))
            await ear.until(partial(ear.heard, "apt-dev", name))

    assert asyncio.run(following(ours.server.url, ours.psk, test, replace(QUICK, pause_s=3600.0))) is None


def test_a_server_that_forgot_its_history_is_told_of(ours: Stage) -> None:
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
