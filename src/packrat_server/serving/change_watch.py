"""Notices changes that other processes make to the database, and wakes the requests of this one that wait for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import Engine

from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.api.change_stream import keep_beating
from packrat_server.api.context import ServerContext
from packrat_server.store.database import read_url, reading, where
from packrat_server.store.journal import newest
from packrat_server.store.postgresql import CHANNEL, SESSION, conninfo, first_line

log = structlog.get_logger()

_LOOK_S = 0.5
"""How often to look at a database that is an SQLite file."""
_LISTEN_S = 5.0
"""How often to look without a notification: this finds a dead connection, or a proxy that drops notifications."""
_RETRY_S = 0.5
_END_S = 5.0


@asynccontextmanager
async def watching(context: ServerContext) -> AsyncIterator[None]:
    """Watch for changes until the context manager ends."""
    watch = ChangeWatch(context.engine, read_url(context.data_dir), context.notifier)
    works = (context.notifier.run(), watch.run(), keep_beating(context.engine, context.notifier))
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        # One may wait for a database that does not answer.
        ended, _ = await asyncio.wait(tasks, timeout=_END_S)
        for task in ended:
            with contextlib.suppress(asyncio.CancelledError):
                task.result()


class ChangeWatch:
    """Watches one database for a notifier."""

    def __init__(self, engine: Engine, url: str | None, notifier: ChangeNotifier) -> None:
        """Prepare to watch; url: that of a PostgreSQL database, None for an SQLite file."""
        self._engine = engine
        self._url = url
        self._notifier = notifier
        self._seen: int | None = None
        self._away = False

    async def run(self) -> None:
        """Watch for changes; if the database goes away, go on when it is back, and notice what changed in between."""
        database = where(self._engine)
        while True:
            try:
                await (self._look_often() if self._url is None else self._listen(self._url))
            except Exception as error:
                # Whatever it is, the next look may succeed; without a watch nobody would hear of other processes.
                if not self._away:
                    log.error("waiting", database=database, reason=first_line(error))
                self._away = True
                await asyncio.sleep(_RETRY_S)

    async def _look_often(self) -> None:
        def look() -> int:
            with reading(self._engine) as connection:
                return newest(connection)

        while True:
            self.notice(await asyncio.to_thread(look))
            await asyncio.sleep(_LOOK_S)

    async def _listen(self, url: str) -> None:
        # A server on SQLite does not wait for it.
        import psycopg

        async with await psycopg.AsyncConnection.connect(conninfo(url), autocommit=True) as connection:
            await connection.execute(SESSION)
            await connection.execute(f"LISTEN {CHANNEL}")
            while True:
                cursor = await connection.execute("SELECT max(id) FROM journal")
                row = await cursor.fetchone()
                self.notice(row[0] if row is not None else None)
                # A notification carries the id of the newest entry, so that nothing needs to be read for one's own.
                async for notification in connection.notifies(timeout=_LISTEN_S):
                    self.notice(int(notification.payload))

    def notice(self, newest_id: int | None) -> None:
        """Take note of the last entry of the journal; None where there is none."""
        if self._away:
            log.info("recovered", database=where(self._engine))
        self._away = False
        if newest_id == self._seen:
            return
        # Fewer entries than before: another database, such as a standby that lacks some, took the place of this one.
        # Without an id, the notifier reads in any case.
        is_rewound = newest_id is None or (self._seen is not None and newest_id < self._seen)
        self._seen = newest_id
        self._notifier.notify(None if is_rewound else newest_id)
