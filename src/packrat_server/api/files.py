"""Takes uploads in and serves the package files.

Source: RFC 9110, RFC 6266.
"""

import re
import secrets
import time
from collections.abc import Callable, Mapping

from sqlalchemy import insert
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from packrat_server.accounts.sessions import ANONYMOUS, PUBLIC, Caller, InvalidSession
from packrat_server.api.body_limits import declared_length
from packrat_server.api.call import Call, run_writer, writing_for
from packrat_server.api.context import ServerContext
from packrat_server.api.file_response import Shown, answer_file
from packrat_server.api.messages import CinpError, CinpResponse
from packrat_server.api.permissions import may_call
from packrat_server.api.request_threads import run_to_end
from packrat_server.store.blobs import Blob, blob_path, read_content, read_from_memory, receive
from packrat_server.store.database import writing
from packrat_server.store.orphans import add_orphans
from packrat_server.store.tables import uploads

UPLOAD_LIMIT = 64 * 1024**3
_READ_WHOLE_BYTES = 128 * 1024
_DISPOSITION = re.compile(r'inline\s*[;:]\s*filename="(?P<name>[^"]*)"')
# The characters in file names of all types of packages: `!` is in epochs of Python, `^` in versions of rpms.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~!^-]{0,199}")
_TYPES = {
    ".deb": "application/vnd.debian.binary-package",
    ".rpm": "application/x-rpm",
    ".json": "application/json",
}


async def upload(request: Request, call: Call) -> Response:
    """Store the body of a POST.

    Args:
        request: The request.
        call: Who calls.

    Returns:
        An answer with a handle that `create` takes.

    Raises:
        CinpError: The caller may not upload, or no longer once the body has arrived; the file name is wrong, or the
            body is too large.
    """
    if not may_call(call.caller, "POST", "/api/upload"):
        raise CinpError(403, "Not Authorized")
    name = _file_name(request.headers.get("content-disposition"))
    try:
        # Refuse what is too large before it is sent.
        if (declared_length(request) or 0) > UPLOAD_LIMIT:
            raise ValueError(f"more than {UPLOAD_LIMIT} bytes")
        blob = await receive(call.context.data_dir, request.stream(), UPLOAD_LIMIT)
    except ValueError as error:
        raise CinpError(413, f"the upload is too large: {error}", {"Connection": "close"}) from None
    handle = secrets.token_hex(8)
    await run_writer(call.context, _remember, call, handle, name, blob)
    return CinpResponse({"uri": f"djfh://{handle}"}, 202)


def _file_name(disposition: str | None) -> str | None:
    if disposition is None:
        return None
    match = _DISPOSITION.fullmatch(disposition.strip())
    if match is None or not _NAME.fullmatch(match["name"]):
        raise CinpError(400, "Invalid Content-Disposition")
    return match["name"]


def _remember(call: Call, handle: str, name: str | None, blob: Blob) -> None:
    stored = {"sha256": blob.sha256, "size": blob.size, "by": call.caller.name, "at": time.time()}
    try:
        with writing_for(call) as connection:
            connection.execute(insert(uploads).values(handle=handle, file_name=name, **stored))
    except CinpError:
        # Nothing names it: it is to go in a day.
        with writing(call.context.engine) as connection:
            add_orphans(connection, [blob.sha256], time.time())
        raise


async def serve_file(
    request: Request,
    headers: Mapping[str, str],
    name: str,
    context: ServerContext,
    address: str,
    admit: Callable[[Caller], None],
) -> Response:
    """Serve a package file to a caller who may see it; supports Range, If-None-Match and HEAD.

    Args:
        request: The request.
        headers: Its headers, under lower-case names.
        name: The file name.
        context: The server's.
        address: Where the request comes from.
        admit: Is called with the caller, before anything is answered.

    Raises:
        CinpError: There is no session.
    """
    sha256 = await _find(context, headers, name, address, admit)
    if sha256 is None:
        return _missing(name)
    etag = f'"{sha256}"'
    if _matches(headers, etag):
        return Response(status_code=304, headers={"ETag": etag})
    # A large file or a part of one is streamed. A small file is read whole, and in the event loop if that takes no
    # time, since a small answer would mostly be switching between threads.
    whole = request.method == "GET" and "range" not in headers
    read_up_to = _READ_WHOLE_BYTES if whole else -1
    path = blob_path(context.data_dir, sha256)
    found = None if context.is_on_network else read_from_memory(path, read_up_to)
    content = found or await run_in_threadpool(read_content, path, read_up_to)
    if content is None:
        return _missing(name)
    media_type = _TYPES.get(name[name.rfind(".") :], "application/octet-stream")
    return answer_file(request, path, Shown(etag, media_type, content))


async def _find(
    context: ServerContext, headers: Mapping[str, str], name: str, address: str, admit: Callable[[Caller], None]
) -> str | None:
    """Find the SHA-256 of the file; None where the caller may see none of that name."""
    auth_id, token = headers.get("auth-id"), headers.get("auth-token")
    if auth_id is None or token is None:
        admit(PUBLIC if context.options.is_public else ANONYMOUS)
        if not context.options.is_public:
            raise CinpError(403, "Not Authorized")
        return await run_to_end(context.downloads.find_public, name)
    try:
        found = context.downloads.find_now(auth_id, token, name)
        if found is None:
            async with context.admission.identifying(address):
                found = await run_to_end(context.downloads.find, auth_id, token, name)
    except InvalidSession:
        raise CinpError(401, "Invalid Session") from None
    admit(found.caller)
    if not may_call(found.caller, "GET", "/files/NAME"):
        raise CinpError(403, "Not Authorized")
    return found.sha256


def _missing(name: str) -> Response:
    return PlainTextResponse(f'file "{name[:200]}" not found', 404)


def _matches(headers: Mapping[str, str], etag: str) -> bool:
    given = headers.get("if-none-match", "")
    return given.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in given.split(","))


def lower_headers(request: Request) -> dict[str, str]:
    """Give the request's headers under lower-case names."""
    return {name.lower(): value for name, value in request.headers.items()}
