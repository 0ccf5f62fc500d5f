"""Keeps the data clean while the server runs.

1. Retention: of each package the newest `deprocated_count` deprecated files and `failed_count` failed ones stay; the
   others are deleted, the oldest first. A deprocated Python file stays as long as a mirror's repository lists it.
2. Uploads that nobody made a package file of go after a day, sessions when they have ended, entries of the journal when
   there are too many.
3. A stored file goes a day after the last record that named it, so that a backup of the database, and then of the
   files, has every file that its records name. An upload of the same bytes that arrives at that moment keeps it.
4. Events are never removed.

Source: the original packrat server, its daily job (1).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection, Engine, delete, select

from packrat_core.backoff import between
from packrat_core.errors import PackratError
from packrat_server.api.context import ServerContext
from packrat_server.promotion.retention import delete_surplus
from packrat_server.serving.clock_jumps import JumpWatch, follow_clock
from packrat_server.store.blobs import remove_blob, remove_old_parts
from packrat_server.store.database import reading, writing
from packrat_server.store.journal import prune
from packrat_server.store.orphans import add_orphans, due_orphans, forget_orphan, is_named
from packrat_server.store.tables import sessions, uploads

log = structlog.get_logger()

DAY_S = 86400.0
_FIRST_S = 60.0
_EVERY_S = 3600.0


@asynccontextmanager
async def keeping_clean(context: ServerContext) -> AsyncIterator[None]:
    """Clean from time to time until the context manager ends."""
    task = asyncio.create_task(_run(context))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run(context: ServerContext) -> None:
    watch = JumpWatch()
    # Several servers on one database do not all clean at the same moment.
    await asyncio.sleep(between(_FIRST_S, 2 * _FIRST_S))
    while True:
        try:
            with watch.following() as ahead_s:
                work = partial(clean, context.engine, context.data_dir, ahead_s=ahead_s)
                # In a thread that asyncio does not wait for at the end: a disk or database may not answer.
                await to_thread.run_sync(work, abandon_on_cancel=True, limiter=CapacityLimiter(1))
            context.notifier.notify()
        except (PackratError, OSError) as error:
            log.error("cleaning", reason=str(error))
        except Exception as error:
            # What fails unexpectedly once may work in an hour, and must not end unseen.
            log.exception("cleaning", reason=f"internal error: {error!r}")
        await asyncio.sleep(between(_EVERY_S, 2 * _EVERY_S))


def clean(engine: Engine, data_dir: Path, now: float | None = None, ahead_s: float = 0.0) -> None:
    """Remove what is not needed any more.

    Args:
        engine: The database.
        data_dir: The server's data directory.
        now: The time, in seconds since the epoch; None for the present.
        ahead_s: The seconds that the clock has jumped ahead since the last cleaning.

    Raises:
        ServerUnavailable: The database can't be reached.
        OSError: The disk fails.
    """
    now = time.time() if now is None else now
    deleted = delete_surplus(engine)
    with writing(engine) as connection:
        follow_clock(connection, now, ahead_s)
        forget_old(connection, now)
    if not ahead_s:
        # After a jump, what arrives just now looks old until more of it arrives.
        remove_old_parts(data_dir, now - DAY_S)
    removed = _remove_files(engine, data_dir, now)
    if deleted or removed:
        log.info("tidied", records=deleted, files=removed)


def forget_old(connection: Connection, now: float) -> None:
    """Forget old uploads, sessions and entries of the journal; the files of the uploads go a day later.

    Args:
        connection: A writing transaction.
        now: The time, in seconds since the epoch.
    """
    old = uploads.c.at < now - DAY_S
    hashes = connection.execute(select(uploads.c.sha256).where(old)).scalars().all()
    connection.execute(delete(uploads).where(old))
    add_orphans(connection, hashes, now)
    connection.execute(delete(sessions).where(sessions.c.expires < now))
    prune(connection)


def _remove_files(engine: Engine, data_dir: Path, now: float) -> int:
    with reading(engine) as connection:
        due = due_orphans(connection, now - DAY_S)
    removed = 0
    for sha256 in due:
        # One file per transaction: nobody can make a record of it during the removal, and nobody waits for long.
        with writing(engine) as connection:
            named = is_named(connection, sha256)
            gone = not named and remove_blob(data_dir, sha256, now - DAY_S)
            if named or gone:
                forget_orphan(connection, sha256)
            removed += gone
    return removed
