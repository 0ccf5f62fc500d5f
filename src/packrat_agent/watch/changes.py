"""Hears what changes on the server and passes it on, for as long as the server can be asked.

A server that offers `changes` answers one lossless question for the whole mirror. For any other see `polling`.
"""

import asyncio
from collections.abc import Callable, Collection

from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.news import News, Pace
from packrat_agent.watch.polling import hear_polls


async def hear_news(
    server: Packrat,
    repos: Callable[[], Collection[Repo]],
    tell: Callable[[News], None],
    pace: Pace | None = None,
) -> None:
    """Tell what changes on the server, until cancelled.

    The first news names everything, and comes once no later change can be missed: a caller that acts on it
    has lost nothing. News may repeat, be mistaken, and come often: the caller gathers them.

    Args:
        server: The server to ask.
        repos: Gives the repositories as they are now; called again and again.
        tell: Called with each piece of news.
        pace: How long to wait for what.

    Raises:
        PackratError: The server can't be asked any more.
    """
    pace = pace or Pace()
    if server.has_changes:
        await _hear_changes(server, repos, tell, pace)
    else:
        await hear_polls(server, repos, tell, pace)


async def _hear_changes(
    server: Packrat, repos: Callable[[], Collection[Repo]], tell: Callable[[News], None], pace: Pace
) -> None:
    """Follow a server that loses nothing: one open connection for the whole mirror."""
    loop = asyncio.get_running_loop()
    position = (await server.changes(None, 0)).position
    tell(News({repo.name: None for repo in repos()}, mirror=True))
    hasty = lost = 0
    while True:
        asked = loop.time()
        changes = await server.changes(position, pace.changes_s)
        stuck, position = position == changes.position, changes.position
        known = {repo.name for repo in repos()}
        changed = {name: packages for name, packages in changes.repos.items() if name in known}
        mirror = changes.mirror or len(changed) < len(changes.repos)
        is_lost = None in changes.repos.values()
        if changed or mirror:
            tell(News(changed, mirror, history_lost=is_lost))
        if is_lost:
            # Everything is read again. Where it is lost time and again, as behind a proxy that asks two servers with
            # histories of their own, nothing else would ever be done.
            lost += 1
            await asyncio.sleep(pace.lost.delay_s(lost))
        elif (changed or mirror) and not stuck:
            hasty = 0
            # A question gathers what changes until it is asked; lines would wait one behind the other.
            await asyncio.sleep(0 if server.feed.is_open else pace.pause_s)
        elif loop.time() - asked < pace.changes_s / 2:
            # Nothing new, at once: a server that is going down, or a fault in it. Never run hot.
            hasty += 1
            await asyncio.sleep(pace.back_off.delay_s(hasty))
        else:
            hasty = lost = 0
