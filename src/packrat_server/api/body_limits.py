"""Reads the body of a request, within a limit that depends on what is called and on who calls.

Takes: a request.
Gives: its body, or a Fault.
Touches: the database, to find out who sends a long body before it is read.

The rules:

1. A body has at most SMALL_BYTES: a login, a poll, what strangers send.
2. Two calls may have LARGE_BYTES, from those who may make them: the filter of package files that names packages, and
   `create` with its texts. Whose session it is, is found out before the body is read.
"""

from collections.abc import Mapping

from starlette.requests import Request

from packrat_server.access import Role
from packrat_server.api.calls import House
from packrat_server.api.messages import Fault
from packrat_server.api.schema import ROOT
from packrat_server.api.verbs import identify

SMALL_BYTES = 64 * 1024
LARGE_BYTES = 8 * 1024 * 1024
_LET_PASS_BYTES = 64 * 1024 * 1024
_FILTER = ("LIST", f"{ROOT}Package/PackageFile")
_CREATE = ("CALL", f"{ROOT}Package/PackageFile(create)")


async def read_body(request: Request, path: str, headers: Mapping[str, str], house: House) -> bytes:
    """Read a body.

    Args:
        request: whose body nobody has read yet.
        path: its path, unquoted.
        headers: its headers, under lower-case names.
        house: where the sessions are.

    Raises: Fault 413 where the body is too long; 401 where a long body comes with a session that has ended.
    """
    declared = headers.get("content-length", "")
    length = int(declared) if declared.isdigit() else None
    called = (request.method, path)
    limit = SMALL_BYTES
    # What is declared to be short needs nobody's name.
    if called in (_FILTER, _CREATE) and (length is None or length > SMALL_BYTES):
        limit = await _limit_of_caller(called, headers, house)
    if length is not None and length > limit:
        raise _too_long(limit, length)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_long(limit, length)
    return bytes(body)


async def _limit_of_caller(called: tuple[str, str], headers: Mapping[str, str], house: House) -> int:
    caller = await identify(headers, house)
    allowed = caller.manages or (called == _FILTER and caller.role == Role.MIRROR)
    return LARGE_BYTES if allowed else SMALL_BYTES


def _too_long(limit: int, length: int | None) -> Fault:
    # What is left of a body that ends soon is let pass unread: a client that finds its connection closed while it
    # sends does not read this answer.
    ends_soon = length is not None and length <= _LET_PASS_BYTES
    told = f"the body of this request, from this caller, may have at most {limit} bytes"
    return Fault(413, told, {} if ends_soon else {"Connection": "close"})
