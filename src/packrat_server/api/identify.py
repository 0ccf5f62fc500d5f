"""Finds out whose session a request belongs to."""

from collections.abc import Mapping

from packrat_server.accounts.sessions import ANONYMOUS, PUBLIC, Caller, InvalidSession
from packrat_server.api.context import ServerContext
from packrat_server.api.messages import CinpError
from packrat_server.api.request_threads import run_to_end


async def identify(headers: Mapping[str, str], context: ServerContext, address: str) -> Caller:
    """Find out whose session the request belongs to.

    Args:
        headers: The headers of the request, under lower-case names.
        context: The server's.
        address: Where the request comes from.

    Raises:
        CinpError: 429, where too many requests from there wait to be identified; 401, where the token is not, or no
            longer, that of a session. So the client notices that it must log in again, even where nobody needs a
            session.
    """
    name, token = headers.get("auth-id"), headers.get("auth-token")
    if name is None or token is None:
        return PUBLIC if context.options.is_public else ANONYMOUS
    try:
        found = context.callers.find_now(name, token)
        if found is not None:
            return found
        async with context.admission.identifying(address):
            return await run_to_end(context.callers.find, name, token)
    except InvalidSession:
        raise CinpError(401, "Invalid Session") from None
