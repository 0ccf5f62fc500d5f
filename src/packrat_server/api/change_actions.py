"""Actions of mirrors: heartbeat, and waiting for a change without holding a thread.

A poll of the original API names the packages that change while it waits; what changes between two polls is lost to it.
`changes` takes a position and loses nothing; with `records`, it gives the records of a small change, too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, update

from packrat_server.api.call import Call, read
from packrat_server.api.changed_records import ChangedRecords
from packrat_server.api.description import uri
from packrat_server.api.in_thread import run_to_end
from packrat_server.api.messages import CinpError
from packrat_server.store.database import writing
from packrat_server.store.journal import ChangesSince, newest, read_names, read_position, read_since
from packrat_server.store.tables import mirrors

T = TypeVar("T")

_POLL_S = (10, 240)
_CHANGES_S = (0, 240)


async def heartbeat(call: Call) -> None:
    """Note that a mirror is alive."""
    now = datetime.now(UTC)
    # Nobody waits for a heartbeat, so this wakes nobody.
    change = update(mirrors).where(mirrors.c.name == call.id).values(last_heartbeat=now, updated=now)

    def work() -> None:
        with writing(call.context.engine) as connection:
            connection.execute(change)

    await run_to_end(work)


async def poll(call: Call) -> list[str]:
    """Wait for a change of a repository; gives the names of the packages that changed, as the original server does."""
    wait_s = _bounded(call.arguments["timeout"], _POLL_S)
    after = await read(call, newest)
    repo = call.id or ""

    async def look() -> list[str]:
        return await read(call, lambda connection: read_names(connection, repo, after), is_look=True)

    return await _wait(call, look, wait_s)


async def changes(call: Call) -> dict[str, Any]:
    """Tell a mirror what changed since a position; wait for a change where nothing did."""
    position, with_records = call.arguments["position"], call.arguments["records"]
    mirror = call.id or ""
    if position is None:
        started: dict[str, Any] = {"position": await read(call, read_position), "changes": {}}
        return {**started, "records": {}} if with_records else started
    wait_s = _bounded(call.arguments["timeout"], _CHANGES_S)
    latest: list[dict[str, Any]] = []

    def query(connection: Connection) -> dict[str, Any]:
        since = read_since(connection, mirror, position)
        told: dict[str, Any] = {"position": since.position, "changes": _name_changes(mirror, since)}
        if with_records:
            # Where the mirror's own record changed, it must view that first.
            told["records"] = {} if since.mirror else ChangedRecords(connection, call.caller).read(since.repos)
        return told

    async def look() -> bool:
        latest[:] = [await read(call, query, is_look=True)]
        return bool(latest[0]["changes"])

    await _wait(call, look, wait_s)
    return latest[0]


def _name_changes(mirror: str, since: ChangesSince) -> dict[str, list[str] | None]:
    changed: dict[str, list[str] | None] = {
        uri("Repo/Repo", name): None if names is None else sorted(names) for name, names in since.repos.items()
    }
    if since.mirror:
        changed[uri("Repo/Mirror", mirror)] = None
    return changed


async def _wait(call: Call, look: Callable[[], Awaitable[T]], wait_s: float) -> T:
    """Look after each change until there is something to see, at most for wait_s; gives what was seen last."""
    notifier = call.context.notifier
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        # Taken before the look, so that no change between the look and the wait is missed.
        next_change = notifier.next_change()
        try:
            seen = await look()
            if seen or notifier.closed or loop.time() >= until:
                return seen
            await asyncio.wait([next_change], timeout=until - loop.time())
        finally:
            next_change.cancel()


def _bounded(timeout_s: int | None, limits: tuple[int, int]) -> int:
    if timeout_s is None:
        raise CinpError(400, {"timeout": 'Invalid Value "Unable to convert to an int"'})
    return min(max(timeout_s, limits[0]), limits[1])
