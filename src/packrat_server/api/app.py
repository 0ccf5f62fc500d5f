"""The server as an ASGI application.

Takes: the House, HTTP requests.
Gives: HTTP answers.
Touches: through its parts: the database, the stored files.
"""

import asyncio
import logging
from collections.abc import Coroutine, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from packrat_core.errors import ServerUnavailable
from packrat_server.api.calls import House
from packrat_server.api.files import lower_headers, serve_file, upload
from packrat_server.api.messages import BODY_LIMIT, CinpResponse, Fault, read_request
from packrat_server.api.verbs import answer

log = logging.getLogger(__name__)


class App:
    """Routes a request: /files/NAME, /api/upload, everything else is CInP."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an unexpected fault is a 500 without details, which go to the log."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._route(request)
        except Fault as fault:
            response = CinpResponse(fault.body, fault.status)
        except ClientDisconnect:
            return
        except ServerUnavailable as error:
            log.error("%s %s: %s", request.method, scope["path"], error)
            response = CinpResponse({"message": "the server's database can't be used just now; try again later"}, 500)
        except Exception:
            log.exception("fault of the server: %s %s", request.method, scope["path"])
            response = CinpResponse({"message": "the server failed; its log says why"}, 500)
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, _with_capitals(send))

    async def _route(self, request: Request) -> Response:
        path = request.scope["path"]
        if path == "/files" or path.startswith("/files/"):
            if request.method not in ("GET", "HEAD"):
                raise Fault(400, f'Invalid Verb (HTTP Method) "{request.method[:30]}"')
            return await serve_file(request, path.removeprefix("/files").removeprefix("/"), self._house)
        if path == "/api/upload" and request.method == "POST":
            return await upload(request, self._house)
        headers = lower_headers(request)
        body = await _read_body(request)
        asked = read_request(
            request.method, unquote(request.scope["raw_path"].decode("ascii", "replace")), headers, body
        )
        return await _unless_gone(request, answer(asked, self._house))


async def _unless_gone(request: Request, answering: Coroutine[Any, Any, Response]) -> Response:
    """Answer, but stop where the client hangs up: a poll would be held for nobody."""
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


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Fault(413, f"a request has at most {BODY_LIMIT} bytes")
    return bytes(body)


def _with_capitals(send: Send) -> Send:
    """Write header names as older clients expect them: Content-Length, not content-length."""

    async def capitalised(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: MutableMapping[str, Any] = message
            headers["headers"] = [(_capitals(name), value) for name, value in message["headers"]]
        await send(message)

    return capitalised


def _capitals(name: bytes) -> bytes:
    return b"ETag" if name.lower() == b"etag" else b"-".join(part.capitalize() for part in name.split(b"-"))
