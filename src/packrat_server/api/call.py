"""One call of the API, and how an action reads and writes the database without holding up other requests."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from packrat_server.accounts.sessions import Caller, InvalidSession, digest, read_caller
from packrat_server.api.context import ServerContext
from packrat_server.api.messages import CinpError
from packrat_server.api.request_threads import run_to_end
from packrat_server.store.database import reading, writing
from packrat_server.store.events import Author, Via
from packrat_server.store.text import REASON_LIMIT

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A call.

    Attributes:
        context: The server's.
        caller: The user or mirror that calls.
        token: The token of the caller's session; None for an anonymous caller.
        address: Where the call comes from.
        ids: The objects that an action is called on: one, or all for an action that changes all of them or none; empty
            for a static action.
        arguments: Those of an action, checked and converted, by name.
        can_stream: Whether the answer may stay open: one object is called, by a client that reads chunks.
    """

    context: ServerContext
    caller: Caller
    token: str | None
    address: str
    ids: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    can_stream: bool = False

    @property
    def id(self) -> str:
        """The object that an action of one object is called on."""
        (only,) = self.ids
        return only

    @property
    def token_hash(self) -> bytes | None:
        """The hash of the session's token, as it is stored; None for a caller without a session."""
        return None if self.caller.is_stranger or self.token is None else digest(self.token)

    @property
    def author(self) -> Author:
        """Who makes the change that is called for, and why.

        Raises:
            CinpError: The reason is too long.
        """
        reason = self.arguments.get("reason") or ""
        if len(reason) > REASON_LIMIT:
            raise CinpError(400, {"reason": f'Invalid Value "more than {REASON_LIMIT} characters"'})
        return Author(self.caller.name, Via.API, reason)


async def read(call: Call, query: Callable[[Connection], T], *, is_look: bool = False) -> T:
    """Run a query in a thread, on one consistent view of the database.

    Args:
        call: The call.
        query: What reads.
        is_look: Whether it is one of the many that a single change sets off: a few of them run at a time, so that they
            leave threads to others.

    Raises:
        CinpError: 401, where the caller's session has ended before a look.
    """

    def work() -> T:
        with reading(call.context.engine) as connection:
            if is_look:
                # The session may have ended while the call waited.
                read_caller(connection, call.caller.name, call.token)
            return query(connection)

    if not is_look:
        return await run_to_end(work)
    async with call.context.admission.looking():
        try:
            return await run_to_end(work)
        except InvalidSession:
            raise CinpError(401, "Invalid Session") from None


@contextmanager
def writing_for(call: Call) -> Iterator[Connection]:
    """Hold a transaction as the only writer, for a caller whose session has not ended by now.

    The body of a request may arrive slowly, and a change may wait for others. A caller who has lost rights in the
    meantime, which ends the session, changes nothing any more.

    Raises:
        CinpError: 401, where the session has ended.
        ServerUnavailable: The database can't be reached, or another writer does not end.
    """
    with writing(call.context.engine) as connection:
        if not call.caller.is_stranger:
            try:
                read_caller(connection, call.caller.name, call.token)
            except InvalidSession:
                raise CinpError(401, "Invalid Session") from None
        yield connection


async def write(call: Call, change: Callable[[Connection], T]) -> T:
    """Make a change in a thread, in one transaction, and wake those who wait for a change."""

    def work() -> T:
        with writing_for(call) as connection:
            return change(connection)

    value = await run_writer(call.context, work)
    call.context.notifier.notify()
    return value


async def run_writer(context: ServerContext, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Run work that changes something in the database, in a thread, when it is its turn.

    Args:
        context: The server's.
        work: The work.
        args: Its arguments.
        more: Its keyword arguments.

    Raises:
        ServerUnavailable: The changes of others do not end. What the work raises is raised, too.
    """
    async with context.admission.writing():
        return await run_to_end(work, *args, **more)
