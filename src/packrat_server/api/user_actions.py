"""Actions of a user or mirror on its own account: log in, log out, change the password."""

import hmac
import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from packrat_server.accounts.login_queue import RETRY_AFTER_S, QueueFull
from packrat_server.accounts.rights import Role
from packrat_server.accounts.sessions import (
    InvalidLogin,
    change_password,
    check_secret,
    find_secret,
    log_out,
    open_session,
)
from packrat_server.api.call import Call, run_writer
from packrat_server.api.messages import CinpError
from packrat_server.api.request_threads import run_to_end

T = TypeVar("T")


async def login(call: Call) -> str:
    """Open a session; gives its token."""
    name, secret = call.arguments["username"] or "", call.arguments["password"] or ""
    try:
        stored = await _with_secret(call, name, secret, partial(check_secret, call.context.engine, name, secret))
        proof = call.context.delays.attempt(name, call.address, secret, stored.hash).proof
        return await run_writer(call.context, open_session, call.context.engine, name, stored, proof)
    except InvalidLogin:
        raise CinpError(400, "Invalid Login") from None


async def logout(call: Call) -> None:
    """End the session."""
    await run_writer(call.context, log_out, call.context.engine, call.token or "")


async def whoami(call: Call) -> str:
    """Give the caller's name."""
    return call.caller.name


async def set_password(call: Call) -> None:
    """Set the caller's password and end all of the caller's sessions."""
    new, old = call.arguments["password"], call.arguments["old_password"]
    if not new:
        raise CinpError(400, {"password": 'Invalid Value "an empty password"'})
    if not old:
        raise CinpError(400, {"old_password": "Required Paramater"})
    name = call.caller.name
    try:
        await _with_secret(call, name, old, partial(change_password, call.context.engine, name, old, new))
    except InvalidLogin:
        raise CinpError(400, {"old_password": 'Invalid Value "not the present password"'}) from None


async def _with_secret(call: Call, name: str, secret: str, work: Callable[[], T]) -> T:
    """Do work that checks a secret, in the queue for logins, and delay those who guess.

    Args:
        call: The call.
        name: The name whose secret it is.
        secret: The secret as it was given.
        work: The work; it raises InvalidLogin where the secret is wrong.

    Raises:
        InvalidLogin: The secret is wrong.
        CinpError: 429, where it is not this caller's turn yet.
    """
    delays, logins = call.context.delays, call.context.logins
    stored = await run_to_end(find_secret, call.context.engine, name)
    attempt = delays.attempt(name, call.address, secret, stored.hash)
    # Only mirrors have one, whose psk is random.
    is_proven = stored.proof is not None and hmac.compare_digest(stored.proof, attempt.proof)

    def check() -> None:
        # Called before and after the wait in the queue, since logins of the same pair may have failed while this one
        # waited.
        if delays.is_known_wrong(attempt):
            raise InvalidLogin
        wait_s = 0.0 if is_proven else delays.wait_s(attempt, is_mirror=stored.role == Role.MIRROR)
        if wait_s > 0:
            raise _too_many("too many failed logins", wait_s)

    check()
    is_first = is_proven or delays.has_logged_in(attempt)
    try:
        done = await logins.run(name, call.address, work, check, is_first=is_first)
    except QueueFull:
        raise _too_many("too many logins at once", RETRY_AFTER_S) from None
    except InvalidLogin:
        delays.failed(attempt)
        raise
    delays.succeeded(attempt)
    return done


def _too_many(what: str, wait_s: float) -> CinpError:
    seconds = math.ceil(wait_s)
    return CinpError(429, f"{what}; try again in {seconds} s", {"Retry-After": str(seconds)})
