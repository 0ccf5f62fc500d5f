"""follow: nothing that changes stays unseen, whatever the server forgets; few polls, none of them hot."""

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from packrat_agent.watch.news import News, Pace
from packrat_core.cinp.refusals import LoginRefused
from packrat_core.errors import ServerUnavailable
from support.ear import DEADLINE_S, Ear, following
from support.original_server import OriginalServer, StoredRepo, original_server

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


def test_the_first_news_is_everything(original: OriginalServer) -> None:
    original.repos["apt-stage"] = StoredRepo("stage")

    async def test(ear: Ear) -> None:
        await ear.until(lambda: bool(ear.news))
        assert ear.news[0] == News({"apt-dev": None, "apt-stage": None}, mirror=True)

    assert asyncio.run(following(original.url, None, test)) is None


def test_a_poll_that_is_answered_is_reported(original: OriginalServer) -> None:
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
def test_changes_between_polls_are_listed(original: OriginalServer, repos: int) -> None:
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


def test_a_late_and_repeated_answer_is_reported(original: OriginalServer) -> None:
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
            begun = [
                request.at for request in original.asked if request.at >= since and request.target.endswith("(poll)")
            ]
            assert all(later - earlier > 0.4 for earlier, later in pairwise(begun))

        assert asyncio.run(following(original.url, None, test)) is None


def test_bulk_work_leaves_the_server_workers_for_others(original: OriginalServer) -> None:
    """Reading two thousand records: polls wait, lists go on, one worker of three is always free."""
    original.put_many(2000)
    # All of it would take ten seconds, the next list comes within two.
    original.manners.record_s = 0.005

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
        original.manners.record_s = 0.001
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


def test_a_server_that_was_away_is_reported_when_it_is_back(original: OriginalServer) -> None:
    async def test(ear: Ear) -> None:
        await ear.until(lambda: original.count("LIST") > 1)
        assert not any(news.was_away for news in ear.news)
        original.manners.html = True
        # What comes from now on is refused; once one was, the server may be there again.
        await asyncio.to_thread(original.until_answered, time.monotonic())
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
        # The first login opened the session; after it ended, the psk was sent once more, and not again.
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
