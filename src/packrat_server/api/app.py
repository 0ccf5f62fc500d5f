"""The server as an ASGI application."""

import asyncio
import re
import traceback
from collections import Counter
from collections.abc import Coroutine, Mapping, MutableMapping
from contextlib import ExitStack
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from packrat_core.aio.addresses import name_network
from packrat_core.errors import DiskError, PackratError, ServerUnavailable
from packrat_core.fs.disk_errors import explain_os_error
from packrat_server.accounts.sessions import ANONYMOUS, Caller
from packrat_server.api.access_log import Access
from packrat_server.api.addresses import Peer
from packrat_server.api.body_limits import is_large, limit_of, read_body
from packrat_server.api.call import Call
from packrat_server.api.context import ServerContext
from packrat_server.api.cors import allowing, find_allowed, preflight_headers
from packrat_server.api.description import CINP_VERSION
from packrat_server.api.dialect import explain_in, read_version
from packrat_server.api.files import lower_headers, serve_file, upload
from packrat_server.api.identify import identify
from packrat_server.api.messages import CinpError, CinpResponse, read_request
from packrat_server.api.monitoring import Monitoring
from packrat_server.api.request_threads import run_to_end
from packrat_server.api.verbs import answer, check_verb
from packrat_server.store.database import DatabaseAway

log = structlog.get_logger()

_CHANGE_NOTHING = frozenset({"DESCRIBE", "GET", "HEAD", "LIST", "OPTIONS", "POST"})
"""Methods that may be repeated: an upload has no effect until its handle is used."""
_STOPPING = {"Retry-After": "1", "Connection": "close"}
_HEADER_NAMES = 256
"""More than answers have: clients don't choose the names of their headers."""
_ABSOLUTE = re.compile(rb"https?://[^/]*", re.IGNORECASE)
_FRONT_PAGE = """\
This is a packrat server. It has no pages for browsers.

Its address without a path is what packrat-agent needs as the host in mirror.conf, and what
commands such as `packrat-server find NAME --url ADDRESS` ask.
The API, for clients that speak CInP, begins at /api/v2/.
To see whether the server works: /health
To see packages with a browser, go to a mirror: packrat-agent makes a landing page there.
"""


def _log_failure(error: Exception, method: str, path: str) -> PackratError | None:
    """Log why a request can't be answered, or its answer not completed; gives None for an internal error."""
    failure = explain_os_error(error) if isinstance(error, OSError) else error
    if not isinstance(failure, PackratError):
        # In one quoted line: the path is what the client has chosen, line breaks and all.
        trace = "".join(traceback.format_exception(error))
        log.error("internal", method=method, path=path, traceback=trace)
        return None
    log.error("unanswered", method=method, path=path, reason=str(failure))
    return failure


def _answer_failure(failure: PackratError | None) -> CinpResponse:
    """Answer a request that fails with what strangers may know of that."""
    if failure is None:
        return CinpResponse({"message": "the server failed; its log says why"}, 500)
    if isinstance(failure, ServerUnavailable) and failure.wait_s:
        # Nothing was carried out, and waiting helps. What is broken stays 500, as on the original server.
        reason = (
            "the server's database can't be used just now"
            if isinstance(failure, DatabaseAway)
            else "the server is busy"
        )
        return CinpResponse(
            {"message": f"{reason}; try again in {failure.wait_s:.0f} s"},
            503,
            {"Retry-After": f"{failure.wait_s:.0f}"},
        )
    what = "disk" if isinstance(failure, DiskError) else "database"
    return CinpResponse({"message": f"the server's {what} can't be used just now; try again later"}, 500)


async def _end_answer(scope: Scope, receive: Receive, send: Send, access: Access) -> None:
    """End an answer at the stop of the server: with a 503 if it has not begun, and nothing is done twice because of it.

    Args:
        scope: The request.
        receive: Gives what the client sends.
        send: Sends the answer.
        access: Whether it has begun.
    """
    if access.has_begun or scope["method"] not in _CHANGE_NOTHING:
        # Clients repeat what a 503 refuses; a thread may still be at this change.
        scope["state"]["break_off"]()
        return
    stopping = CinpResponse({"message": "the server stops; try again later"}, 503, _STOPPING)
    await stopping(scope, receive, _with_capitals(send))


class App:
    """Routes each request: /files/NAME is a download, POST /api/upload an upload, everything else CInP."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._statuses: Counter[int] = Counter()
        self._monitoring = Monitoring(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an internal error is answered by a 500 without details, which go to the log."""
        if scope["type"] != "http":
            return
        _take_origin_form(scope)
        access = Access(scope)
        scope["state"]["write_part"] = access.counting_parts(scope["state"]["write_part"])
        sending = allowing(access.counting(send), find_allowed(scope, self._context.options))
        try:
            await self._answer(scope, receive, sending, access)
        except asyncio.CancelledError:
            # The server stops, and has waited long enough for this answer. uvicorn would log a traceback of each.
            await _end_answer(scope, receive, sending, access)
        finally:
            self._statuses[access.status] += 1
            if self._context.access_log is not None:
                self._context.access_log.write(access.line())

    async def _answer(self, scope: Scope, receive: Receive, send: Send, access: Access) -> None:
        request = Request(scope, receive)
        version = read_version(request.headers) or CINP_VERSION
        # What is entered here counts as at work until the answer is sent.
        with ExitStack() as held:
            try:
                response = await self._route(request, held, access)
            except CinpError as error:
                response = CinpResponse(explain_in(error.body, version), error.status, error.headers)
                # The frames that the error went through would keep a large body until the next garbage collection.
                traceback.clear_frames(error.__traceback__)
            except ClientDisconnect:
                return
            except Exception as error:
                response = _answer_failure(_log_failure(error, request.method, scope["path"]))
            if isinstance(response, CinpResponse):
                response.name_version(version)
            if request.method == "HEAD":
                response.body = b""
            try:
                await response(scope, receive, _with_capitals(send))
            except Exception as error:
                # The answer has begun, so it can't become another one.
                _log_failure(error, request.method, scope["path"])
                scope["state"]["break_off"]()

    async def _route(self, request: Request, held: ExitStack, access: Access) -> Response:
        path, headers = request.scope["path"], lower_headers(request)
        peer: Peer = request.scope["state"]["peer"]
        forwarded = request.headers.getlist("x-forwarded-for")
        access.address = self._context.options.trusted_proxies.find_client(peer.host, forwarded)
        address = name_network(access.address)
        if "transfer-encoding" in headers and "content-length" in headers:
            # What stands in front may go by the other one, and take the rest for a request of somebody else.
            # RFC 9112, 6.3.
            raise CinpError(400, "both Content-Length and Transfer-Encoding", {"Connection": "close"})

        def admit(caller: Caller) -> None:
            """Take note of who calls, as soon as that is known."""
            access.user = "-" if caller.is_stranger else caller.name
            peer.is_known = peer.is_known or not caller.is_stranger
            held.enter_context(self._context.admission.at_work(caller, address))

        if path == "/" and request.method in ("GET", "HEAD") and "cinp-version" not in headers:
            return PlainTextResponse(_FRONT_PAGE)
        if path == "/health" and request.method in ("GET", "HEAD"):
            return await self._monitoring.serve_health(address)
        if path == "/metrics" and request.method in ("GET", "HEAD"):
            return await self._monitoring.serve_metrics(request, access.address, self._statuses)
        if path == "/files" or path.startswith("/files/"):
            if request.method == "OPTIONS":
                return CinpResponse(None, 200, preflight_headers("OPTIONS, GET, HEAD"))
            if request.method not in ("GET", "HEAD"):
                raise CinpError(400, f'Invalid Verb (HTTP Method) "{request.method[:30]}"')
            name = path.removeprefix("/files").removeprefix("/")
            return await serve_file(request, headers, name, self._context, address, admit)
        if path == "/api/upload" and request.method == "POST":
            caller = await identify(headers, self._context, address)
            admit(caller)
            return await upload(request, Call(self._context, caller, headers.get("auth-token"), address))
        if path == "/api/upload" and request.method == "OPTIONS":
            return CinpResponse(None, 200, preflight_headers("OPTIONS, POST"))
        uri = unquote(request.scope["raw_path"].decode("ascii", "replace"))
        caller = await self._identify_cinp(request.method, uri, headers, address)
        admit(caller)
        can_stream = request.scope["http_version"] == "1.1"
        call = Call(self._context, caller, headers.get("auth-token"), address, can_stream=can_stream)
        return await self._answer_cinp(request, uri, headers, call)

    async def _identify_cinp(self, verb: str, uri: str, headers: Mapping[str, str], address: str) -> Caller:
        """Find out who calls, before the body of the request is read.

        Args:
            verb: The method of the request.
            uri: Its path, unquoted.
            headers: Its headers, under lower-case names.
            address: Where it comes from.
        """
        if verb == "OPTIONS":
            # A browser sends OPTIONS before it sends a token.
            return ANONYMOUS
        try:
            return await identify(headers, self._context, address)
        except CinpError:
            # The original server reports a wrong request before an invalid session, so clients expect that order.
            check_verb(read_request(verb, uri, headers, b""))
            raise

    async def _answer_cinp(self, request: Request, uri: str, headers: Mapping[str, str], call: Call) -> Response:
        limit = limit_of(request.method, uri, call.caller)
        if not is_large(request, limit):
            body = await read_body(request, limit)
            return await _unless_gone(request, answer(read_request(request.method, uri, headers, body), call))
        admission = self._context.admission
        async with admission.large_body(call.caller):
            body = await read_body(request, limit)
            async with admission.working():
                # Parsing a large body takes a while, so it goes to a thread.
                cinp_request = await run_to_end(read_request, request.method, uri, headers, body)
                del body
                return await _unless_gone(request, answer(cinp_request, call))


def _take_origin_form(scope: Scope) -> None:
    """Take the path out of a request target that is a whole URL, as a client sends it that takes this for a proxy.

    Source: RFC 9112, 3.2.2.
    """
    match = _ABSOLUTE.match(scope["raw_path"])
    if match is not None:
        scope["raw_path"] = scope["raw_path"][match.end() :] or b"/"
        scope["path"] = unquote(scope["raw_path"].decode("ascii"))


async def _unless_gone(request: Request, answering: Coroutine[Any, Any, Response]) -> Response:
    """Answer, but stop if the client hangs up, since a poll would wait for nobody."""
    answered = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait([answered, gone], return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ClientDisconnect
        return answered.result()
    finally:
        gone.cancel()
        answered.cancel()
        # What its threads still do counts as at work until they end.
        await asyncio.wait([answered])


def _with_capitals(send: Send) -> Send:
    """Write the names of headers in Title-Case, since older clients match them case-sensitively."""

    async def capitalised(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: MutableMapping[str, Any] = message
            headers["headers"] = [(_capitals(name), value) for name, value in message["headers"]]
        await send(message)

    return capitalised


@lru_cache(_HEADER_NAMES)
def _capitals(name: bytes) -> bytes:
    return b"ETag" if name.lower() == b"etag" else b"-".join(part.capitalize() for part in name.split(b"-"))
