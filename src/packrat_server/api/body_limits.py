"""Reads the body of a request, within a limit that depends on the call and the caller.

1. A body may have SMALL_BYTES: enough for a login, a poll, and all that strangers send.
2. Two calls may have LARGE_BYTES if the caller may make them: the filter of package files that names packages, and
   `create` with its texts. The caller is identified before such a body is read.

Usage:

    body = await read_body(request, path, headers, context)
"""

from collections.abc import Mapping

from starlette.requests import Request

from packrat_server.accounts.sessions import Role
from packrat_server.api.context import ServerContext
from packrat_server.api.description import ROOT
from packrat_server.api.messages import CinpError
from packrat_server.api.verbs import identify

SMALL_BYTES = 64 * 1024
LARGE_BYTES = 8 * 1024 * 1024
_DROPPED_BYTES = 64 * 1024 * 1024
_FILTER = ("LIST", f"{ROOT}Package/PackageFile")
_CREATE = ("CALL", f"{ROOT}Package/PackageFile(create)")


async def read_body(request: Request, path: str, headers: Mapping[str, str], context: ServerContext) -> bytes:
    """Read a body.

    Args:
        request: The request; nobody may have read of its body.
        path: Its path, unquoted.
        headers: Its headers, under lower-case names.
        context: The server's, for the sessions.

    Returns:
        The whole body.

    Raises:
        CinpError: 413 where the body is too long; 401 where a long body comes with a session that has ended.
    """
    declared = headers.get("content-length", "")
    length = int(declared) if declared.isdigit() else None
    called = (request.method, path)
    limit = SMALL_BYTES
    # The session is looked up for a long body only: most requests are short, and are looked up later anyway.
    if called in (_FILTER, _CREATE) and (length is None or length > SMALL_BYTES):
        limit = await _limit_of_caller(called, headers, context)
    if length is not None and length > limit:
        raise _too_long(limit, length)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_long(limit, length)
    return bytes(body)


async def _limit_of_caller(called: tuple[str, str], headers: Mapping[str, str], context: ServerContext) -> int:
    caller = await identify(headers, context)
    allowed = caller.manages or (called == _FILTER and caller.role == Role.MIRROR)
    return LARGE_BYTES if allowed else SMALL_BYTES


def _too_long(limit: int, length: int | None) -> CinpError:
    # The rest of a body that ends soon is received and dropped: a client whose connection is closed while it sends does
    # not read this answer.
    ends_soon = length is not None and length <= _DROPPED_BYTES
    reason = f"the body of this request, from this caller, may have at most {limit} bytes"
    return CinpError(413, reason, {} if ends_soon else {"Connection": "close"})
