"""Reads the body of a request, within a limit that depends on the call and the caller.

1. A caller without a session may send STRANGER_BYTES: enough for a login.
2. A caller with a session may send SMALL_BYTES.
3. Two calls may have LARGE_BYTES if the caller may make them: the filter of package files that names packages, and
   `create` with its texts.

Usage:

    limit = limit_of(verb, path, caller)
    body = await read_body(request, limit)
"""

import asyncio

from starlette.requests import Request

from packrat_server.accounts.sessions import Caller
from packrat_server.api.description import ROOT
from packrat_server.api.messages import CinpError
from packrat_server.api.permissions import may_call

STRANGER_BYTES = 8 * 1024
SMALL_BYTES = 64 * 1024
LARGE_BYTES = 8 * 1024 * 1024
_DROPPED_BYTES = 16 * 1024 * 1024
_LARGE_BODY_S = 60.0
_LARGE = (("LIST", "Package/PackageFile"), ("CALL", "Package/PackageFile(create)"))


def limit_of(verb: str, path: str, caller: Caller) -> int:
    """Give the number of bytes that a body may have.

    Args:
        verb: The method of the request.
        path: Its path, unquoted.
        caller: Who calls.
    """
    if caller.is_stranger:
        return STRANGER_BYTES
    called = (verb, path.removeprefix(ROOT))
    return LARGE_BYTES if called in _LARGE and may_call(caller, *called) else SMALL_BYTES


def is_large(request: Request, limit: int) -> bool:
    """Whether a body is larger than those of most calls, or may become so."""
    length = declared_length(request)
    return limit > SMALL_BYTES and (length is None or length > SMALL_BYTES)


async def read_body(request: Request, limit: int) -> bytes | bytearray:
    """Read a body.

    Args:
        request: The request; nobody may have read of its body.
        limit: Number of bytes that it may have.

    Returns:
        The whole body.

    Raises:
        CinpError: 413 where the body is too long, 408 where a large one takes too long.
    """
    length = declared_length(request)
    if length is not None and length > limit:
        raise _too_long(limit, length)
    body = bytearray()
    try:
        # The connection (serving/connections.py) bounds how long a small one takes.
        async with asyncio.timeout(_LARGE_BODY_S if is_large(request, limit) else None):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_long(limit, length)
    except TimeoutError:
        reason = f"the body did not arrive within {_LARGE_BODY_S:.0f} s"
        raise CinpError(408, reason, {"Connection": "close"}) from None
    return body


def declared_length(request: Request) -> int | None:
    """Give the length of the body as the request declares it; None where it does not."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdigit() else None


def _too_long(limit: int, length: int | None) -> CinpError:
    # The rest of a body that ends soon is received and dropped: a client whose connection is closed while it sends does
    # not read this answer.
    ends_soon = length is not None and length <= _DROPPED_BYTES
    reason = f"the body of this request, from this caller, may have at most {limit} bytes"
    return CinpError(413, reason, {} if ends_soon else {"Connection": "close"})
