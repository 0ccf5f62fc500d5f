"""Gathers what `follow` tells of a server."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from packrat_agent.model.changes import Changes
from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.changes import hear_news
from packrat_agent.watch.news import News, Pace
from packrat_core.backoff import BackOff
from packrat_core.cinp.client import CinpClient
from packrat_core.errors import PackratError

DEADLINE_S = 60.0

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
        self.following: asyncio.Task[None] = asyncio.create_task(
            hear_news(packrat, lambda: self.repos, self.tell, pace)
        )

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
        known = next(known for known in self.repos if known.name == repo)
        return frozenset((await self.packrat.wanted(known, None, {})).uris)


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
