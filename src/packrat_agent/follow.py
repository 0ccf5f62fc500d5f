"""Hears from the server what changed.

Takes: the server, the repositories of the mirror.
Gives: News, as they come.
Touches: network.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from packrat_agent.model import Repo
from packrat_agent.server.packrat import Packrat

_LONGEST_POLL_S = 60
_SHORTEST_POLL_S = 10
_POLLS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class News:
    """What changed: repository → package names, None for "list everything"; `mirror`: its list of repositories may."""

    repos: Mapping[str, frozenset[str] | None]
    mirror: bool = False


async def follow(server: Packrat, repos: Callable[[], Collection[Repo]], tell: Callable[[News], None]) -> None:
    """Tell what changes until cancelled.

    Raises: PackratError where the server can't be asked any more.
    """
    if server.has_changes:
        position = (await server.changes(None, 0)).position
        tell(News({}, mirror=True))
        while True:
            changes = await server.changes(position, _LONGEST_POLL_S)
            position = changes.position
            if changes.repos or changes.mirror:
                tell(News(changes.repos, changes.mirror))
    tell(News({}, mirror=True))
    while True:
        waiting = list(repos())
        if not waiting:
            await asyncio.sleep(_SHORTEST_POLL_S)
            continue
        random.shuffle(waiting)
        while waiting:
            some, waiting = waiting[:_POLLS_AT_ONCE], waiting[_POLLS_AT_ONCE:]
            await _first_answer(server, some, _SHORTEST_POLL_S)
            tell(News({repo.name: None for repo in repos()}))


async def _first_answer(server: Packrat, repos: Collection[Repo], timeout_s: float) -> None:
    started = time.monotonic()
    polls = [asyncio.ensure_future(server.poll(repo, max(1, int(timeout_s)))) for repo in repos]
    try:
        done, _ = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        names = frozenset().union(*(poll.result() for poll in done))
    finally:
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
    if not names and time.monotonic() - started < 1:
        # An empty answer at once is the sign of a server without its database: never run hot.
        await asyncio.sleep(_SHORTEST_POLL_S * random.uniform(0.5, 1.0))  # noqa: S311 jitter
