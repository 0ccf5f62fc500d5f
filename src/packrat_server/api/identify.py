"""Finds out whose session a request belongs to."""

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool

from packrat_server.accounts.sessions import ANONYMOUS, PUBLIC, Caller, InvalidSession, find_caller
from packrat_server.api.context import ServerContext
from packrat_server.api.messages import CinpError


async def identify(headers: Mapping[str, str], context: ServerContext) -> Caller:
    """Find out whose session the request belongs to.

    Args:
        headers: The headers of the request, under lower-case names.
        context: The server's.

    Raises:
        CinpError: 401, where the token is not, or no longer, that of a session. So the client notices that it must log
            in again, even where nobody needs a session.
    """
    name, token = headers.get("auth-id"), headers.get("auth-token")
    if name is None or token is None:
        return PUBLIC if context.options.is_public else ANONYMOUS
    try:
        return await run_in_threadpool(find_caller, context.engine, name, token)
    except InvalidSession:
        raise CinpError(401, "Invalid Session") from None
