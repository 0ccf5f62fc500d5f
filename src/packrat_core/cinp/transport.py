"""Sends HTTP requests to one origin, and sends them again where a connection died before it was used.

A server or a proxy may close an idle connection at any moment, and the client notices only when a request gets no
answer. The rules:

1. A request that may be repeated takes a connection that is open, if there is one. Where that dies before the
   answer begins, the request is sent once more, on a new connection.
2. A request that may have been carried out unnoticed is not repeated here: its sender gets `NoAnswer`, and looks. It
   takes an open connection, too, since a new one for each of thousands takes longer than what they ask for. Once one
   has died under such a request, these take new connections only.
3. A new connection that dies unanswered is an error; of a request as in 2 it is `NoAnswer`.

Source: RFC 9110, 9.2.2 (idempotent methods), RFC 9112, 9.3.1 (retrying requests).
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import aiohttp
from yarl import URL

from packrat_core.cinp.bounded_head import IS_REUSED, BoundedConnector
from packrat_core.cinp.failures import MIRROR_CONF, SettingNames, explain, explain_unresolved
from packrat_core.cinp.name_resolver import NameResolver
from packrat_core.cinp.route import bypasses
from packrat_core.cinp.server_date import measure_ahead, read_date
from packrat_core.errors import ConfigError, ServerBroken, ServerUnavailable
from packrat_core.fs.open import open_given
from packrat_core.fs.ownership import explain_unread

_IDLE_S = 4.0
_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
_UNCONNECTED = (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError)


class NoAnswer(ServerUnavailable):
    """The request was sent, and the connection died before an answer began: it may have been carried out."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; `path` is absolute and encoded.

    repeatable: Carrying it out twice does no harm. head_s: Seconds within which the head of the answer has come, with
    whatever comes before it; None where `timeout` limits that.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    body: Any
    timeout: aiohttp.ClientTimeout
    repeatable: bool
    head_s: float | None = None


class Transport:
    """The connections to one origin.

    Attributes:
        proxy: What requests go through; None where the origin is reached without.
        names: What the user calls the settings, for errors.
        clock_ahead_s: By how much this host's clock is ahead of the server's, by its last answer; 0 if they agree.
    """

    def __init__(
        self,
        origin: str,
        proxy: str | None,
        no_proxy: Collection[str],
        ca_file: Path | None,
        names: SettingNames = MIRROR_CONF,
    ) -> None:
        self._origin = origin
        self.names = names
        self.proxy = URL(proxy) if proxy and not bypasses(URL(origin).host or "", no_proxy) else None
        self._ca_file = ca_file
        self._open = AsyncExitStack()
        self._resolver = NameResolver()
        self._pooled: aiohttp.ClientSession | None = None
        self._unpooled: aiohttp.ClientSession | None = None
        self._reuses_for_all = True
        self.clock_ahead_s = 0.0

    async def __aenter__(self) -> Self:
        encrypted = any(str(url).startswith("https:") for url in (self._origin, self.proxy))
        tls = _ssl_context(self._ca_file, self.names.ca_file) if encrypted else True
        # Callers limit how many requests are open. Idle connections are closed before most servers do it.
        pooling = BoundedConnector(ssl=tls, limit=0, keepalive_timeout=_IDLE_S, resolver=self._resolver)
        self._pooled = await self._open.enter_async_context(_session(pooling))
        unpooling = BoundedConnector(ssl=tls, limit=0, force_close=True, resolver=self._resolver)
        self._unpooled = await self._open.enter_async_context(_session(unpooling))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @asynccontextmanager
    async def send(self, request: HttpRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; the response lasts as long as the context.

        Raises:
            NoAnswer: the connection died after a request was sent that must not be repeated.
            ServerUnavailable: no connection, no answer in time, or one that broke off.
            ServerBroken: the path leads elsewhere.
        """
        if not request.path.startswith("/") or request.path.startswith("//"):
            raise ServerBroken(f"{request.path[:200]!r} is not a path on {self._origin}")
        if request.body is None and request.verb not in ("GET", "POST"):
            request = replace(request, headers={**request.headers, "Content-Length": "0"})
        answered = False
        try:
            # The next byte in time is not enough: answers of 1xx may come slowly for ever.
            async with asyncio.timeout(request.head_s):
                opened = await self._send(request)
            async with opened as response:
                answered = True
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            failure = self._explain(error, request)
            sent = isinstance(error, _LOST) and not isinstance(error, _UNCONNECTED)
            if sent and not answered and not request.repeatable:
                raise NoAnswer(
                    str(failure), hint="the server may have carried it out: check that before you repeat it"
                ) from None
            raise failure from None

    def _explain(self, error: BaseException, request: HttpRequest) -> ServerUnavailable:
        if isinstance(error, aiohttp.ConnectionTimeoutError) and self._resolver.waiting:
            return explain_unresolved(self._resolver.waiting[0], self._origin, self.proxy, self.names)
        return explain(error, f"{request.verb} {request.path[:200]}", self._origin, self.proxy, self.names)

    async def _send(self, request: HttpRequest) -> aiohttp.ClientResponse:
        if self._pooled is None or self._unpooled is None:
            raise RuntimeError("the transport is used outside its context")
        if request.repeatable or self._reuses_for_all:
            IS_REUSED.set(False)
            try:
                return await self._ask(self._pooled, request)
            except _LOST:
                if not IS_REUSED.get():
                    raise
                if not request.repeatable:
                    self._reuses_for_all = False
                    raise
        return await self._ask(self._unpooled, request)

    async def _ask(self, session: aiohttp.ClientSession, request: HttpRequest) -> aiohttp.ClientResponse:
        sent = time.time()
        response = await session.request(
            request.verb,
            URL(self._origin + request.path, encoded=True),
            headers=request.headers,
            data=request.body,
            proxy=self.proxy,
            timeout=request.timeout,
            allow_redirects=False,
        )
        # What a cache on the way answers has the date of an earlier answer; it only has those to GET.
        ahead_s = measure_ahead(sent, time.time(), read_date(response.headers)) if request.verb != "GET" else None
        self.clock_ahead_s = self.clock_ahead_s if ahead_s is None else ahead_s
        return response


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        # Nothing is decompressed here. aiohttp would offer gzip by itself, and a proxy would take it up.
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # aiohttp by itself repeats what HTTP calls idempotent: who deletes something would hear that it isn't there.
    session._retry_connection = False
    return session


def _ssl_context(ca_file: Path | None, setting: str) -> ssl.SSLContext:
    try:
        if ca_file is not None:
            # Opening a named pipe would wait for a writer.
            open_given(ca_file).close()
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        if isinstance(error, ssl.SSLError) or ca_file is None:
            why = "it holds no certificate in PEM form"
        else:
            why = explain_unread(ca_file, error)
        raise ConfigError(
            f"{setting} {ca_file} can't be used: {why}", hint="name a file with the certificate of a CA"
        ) from None
