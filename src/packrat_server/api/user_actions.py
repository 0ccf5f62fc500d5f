"""Actions of a user or mirror on its own account: log in, log out, change the password."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from packrat_server.accounts.login_queue import RETRY_AFTER_S, QueueFull
from packrat_server.accounts.sessions import InvalidLogin, Role, change_password, log_in, log_out
from packrat_server.api.call import Call
from packrat_server.api.messages import CinpError

T = TypeVar("T")


async def login(call: Call) -> str:
    """Open a session; gives its token."""
    name, secret = call.arguments["username"], call.arguments["password"]
    try:
        return await _hash(call, name or "", partial(log_in, call.context.engine, name or "", secret or ""))
    except InvalidLogin:
        raise CinpError(400, "Invalid Login") from None


async def _hash(call: Call, name: str, work: Callable[[], T]) -> T:
    """Do work that hashes a secret, in the queue for logins."""
    try:
        return await call.context.logins.run(name, work)
    except QueueFull:
        reason = f"too many logins at once; try again in {RETRY_AFTER_S} s"
        raise CinpError(429, reason, {"Retry-After": str(RETRY_AFTER_S)}) from None


async def logout(call: Call) -> None:
    """End the session."""
    _need_session(call)
    await run_in_threadpool(log_out, call.context.engine, call.token or "")


async def whoami(call: Call) -> str:
    """Give the caller's name."""
    return call.caller.name


async def set_password(call: Call) -> None:
    """Set the caller's password and end all of the caller's sessions."""
    password = call.arguments["password"]
    if not password:
        raise CinpError(400, {"password": 'Invalid Value "an empty password"'})
    name = call.caller.name
    await _hash(call, name, partial(change_password, call.context.engine, name, password))


def _need_session(call: Call) -> None:
    if call.caller.role == Role.NOBODY:
        raise CinpError(403, "Not Authorized")
