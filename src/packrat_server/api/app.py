"""The server as an ASGI application."""

import asyncio
import logging
from collections.abc import Coroutine, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from packrat_core.errors import ServerUnavailable
from packrat_server.api.body_limits import SMALL_BYTES, read_body
from packrat_server.api.context import ServerContext
from packrat_server.api.description import CINP_VERSION
from packrat_server.api.dialect import explain_in, read_version
from packrat_server.api.files import lower_headers, serve_file, upload
from packrat_server.api.messages import CinpError, CinpResponse, read_request
from packrat_server.api.verbs import answer

log = logging.getLogger(__name__)


class App:
    """Routes each request: /files/NAME is a download, POST /api/upload an upload, everything else CInP."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an internal error is answered by a 500 without details, which go to the log."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        version = read_version(request.headers) or CINP_VERSION
        try:
            response = await self._route(request)
        except CinpError as error:
            response = CinpResponse(explain_in(error.body, version), error.status, error.headers)
        except ClientDisconnect:
            return
        except ServerUnavailable as error:
            log.error("%s %s: %s", request.method, scope["path"], error)
            response = CinpResponse({"message": "the server's database can't be used just now; try again later"}, 500)
        except Exception:
            log.exception("internal error: %s %s", request.method, scope["path"])
            response = CinpResponse({"message": "the server failed; its log says why"}, 500)
        if isinstance(response, CinpResponse):
            response.name_version(version)
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, _with_capitals(send))

    async def _route(self, request: Request) -> Response:
        path = request.scope["path"]
        if path == "/files" or path.startswith("/files/"):
            if request.method not in ("GET", "HEAD"):
                raise CinpError(400, f'Invalid Verb (HTTP Method) "{request.method[:30]}"')
            return await serve_file(request, path.removeprefix("/files").removeprefix("/"), self._context)
        if path == "/api/upload" and request.method == "POST":
            return await upload(request, self._context)
        headers = lower_headers(request)
        uri = unquote(request.scope["raw_path"].decode("ascii", "replace"))
        body = await read_body(request, uri, headers, self._context)
        # Parsing a large body takes a while, so it goes to a thread.
        if len(body) <= SMALL_BYTES:
            cinp_request = read_request(request.method, uri, headers, body)
        else:
            cinp_request = await run_in_threadpool(read_request, request.method, uri, headers, body)
        return await _unless_gone(request, answer(cinp_request, self._context))


async def _unless_gone(request: Request, answering: Coroutine[Any, Any, Response]) -> Response:
    """Answer, but stop where the client hangs up: a poll would wait for nobody."""
    answered = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait([answered, gone], return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ClientDisconnect
        return answered.result()
    finally:
        answered.cancel()
        gone.cancel()


def _with_capitals(send: Send) -> Send:
    """Write the names of headers in Title-Case, since older clients match them case-sensitively."""

    async def capitalised(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: MutableMapping[str, Any] = message
            headers["headers"] = [(_capitals(name), value) for name, value in message["headers"]]
        await send(message)

    return capitalised


def _capitals(name: bytes) -> bytes:
    return b"ETag" if name.lower() == b"etag" else b"-".join(part.capitalize() for part in name.split(b"-"))
