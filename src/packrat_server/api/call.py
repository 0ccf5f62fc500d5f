"""One call of an action, and how an action reads and writes the database without holding up other requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from packrat_server.accounts.sessions import Caller
from packrat_server.api.context import ServerContext
from packrat_server.store.database import reading, writing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an action.

    Attributes:
        context: The server's.
        caller: The user or mirror that calls.
        token: The token of the caller's session; None for an anonymous caller.
        id: The object that the action is called on; None for a static action.
        arguments: Checked and converted, by name.
    """

    context: ServerContext
    caller: Caller
    token: str | None
    id: str | None
    arguments: dict[str, Any]


async def read(call: Call, query: Callable[[Connection], T]) -> T:
    """Run a query in a thread, on one consistent view of the database."""

    def work() -> T:
        with reading(call.context.engine) as connection:
            return query(connection)

    return await run_in_threadpool(work)


async def write(call: Call, change: Callable[[Connection], T]) -> T:
    """Make a change in a thread, in one transaction, and wake those who wait for a change."""

    def work() -> T:
        with writing(call.context.engine) as connection:
            return change(connection)

    value = await run_in_threadpool(work)
    call.context.notifier.notify()
    return value
