"""Keeps the landing page and its lists of packages up to date, beside the syncs, which never wait for it."""

import asyncio
from dataclasses import dataclass

from packrat_agent.publish.claim import check_mounted
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.landing.site import publish_site
from packrat_core.aio.threads import in_thread
from packrat_core.errors import PackratError

_PAGE = "the landing page"


@dataclass(frozen=True, slots=True)
class PagePace:
    """How soon the page follows what is published, in seconds.

    Attributes:
        settle_s: Before the page is published: what is published together shows together, and the page's turn comes
            after that of a burst's first changes.
        rest_s: Between two versions of the page.
        again_s: Before a page that could not be published is tried again.
    """

    settle_s: float = 1.0
    rest_s: float = 9.0
    again_s: float = 30.0


_PACE = PagePace()


async def keep_page(context: MirrorContext, pace: PagePace = _PACE) -> None:
    """Publish the page after what is published, until it is cancelled; what stops it is tried again."""
    news = context.page.arrived
    try:
        while True:
            await news.wait()
            await asyncio.sleep(pace.settle_s)
            await asyncio.sleep(pace.rest_s if await _publish(context) else pace.again_s)
    finally:
        if news.is_set():
            # The agent may be away for long.
            await _publish(context)


async def _publish(context: MirrorContext) -> bool:
    """Publish the page; return whether that was possible."""
    try:
        async with context.turns.publishing:
            # Not before: if this is cancelled while it waits for the turn, the news must still be there.
            context.page.arrived.clear()
            await in_thread(_publish_now, context)
    except Exception as error:
        # Whatever it is, the page must not stay as it is for good.
        reason = str(error) if isinstance(error, PackratError) else f"internal error, please report it: {error!r}"
        context.fault_log.beside("page", _PAGE, f"the landing page is behind: {reason}")
        context.page.arrived.set()
        return False
    context.fault_log.beside("page", _PAGE, None)
    return True


def _publish_now(context: MirrorContext) -> None:
    check_mounted(context.root)
    publish_site(context)
