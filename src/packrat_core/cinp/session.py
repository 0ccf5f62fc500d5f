"""The common part of one client's requests: connections, the protocol's version, a login, limits of time.

1. The oldest version is tried first. Where the server refuses it and names another one, that is used from then on.
2. A server that is busy and says for how long has carried nothing out, so it is asked again, for half a minute in all.
3. After a login, every request carries the server's token.

Source: the CInP protocol, versions 0.9 to 2.0.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import aiohttp
import structlog

from packrat_core.backoff import lengthen
from packrat_core.cinp.limits import LISTING, RECORDS
from packrat_core.cinp.responses import Answer, raise_for, read_answer
from packrat_core.cinp.transport import HttpRequest, Transport
from packrat_core.errors import ServerBroken, ServerUnavailable

log = structlog.get_logger()

T = TypeVar("T")

VERSIONS = ("0.9", "1.0", "2.0")
_PATIENCE_S = 30.0
"""The longest time that a request waits in all where the server asks for it; a longer wait is left to the caller."""


ReadBody = Callable[[aiohttp.ClientResponse, str], Awaitable[Answer]]
"""Reads the body of an answer; called with the response and the name of the request, once for each time it is sent."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection (name, TCP, proxy and TLS together), for the next byte, for a whole answer.

    download_s: For the whole answer where it is a file; what came stays, and the next attempt goes on from there.
    """

    connect_s: float = 10.0
    stall_s: float = 60.0
    total_s: float = 300.0
    download_s: float = 24 * 3600.0


class CinpSession:
    """Requests to one server, without a login until `log_in`.

    Attributes:
        auth: The headers of the login; none where there is no login.
    """

    def __init__(self, transport: Transport, timeouts: Timeouts) -> None:
        self._transport = transport
        self.auth: Mapping[str, str] = {}
        self._timeouts = timeouts
        self._version = VERSIONS[0]
        self._busy = False

    def log_in(self, username: str, token: str) -> None:
        """Send this name and token with every request from now on."""
        self.auth = {"Auth-Id": username, "Auth-Token": token}

    def log_out(self) -> None:
        """Send no name and token any more."""
        self.auth = {}

    def until(self, read_s: float, total_s: float | None = None) -> aiohttp.ClientTimeout:
        """Limit a request: seconds for the next byte, and for the whole answer where that is limited, too."""
        return _limit(self._timeouts.connect_s, read_s, total_s)

    async def ask(
        self,
        verb: str,
        uri: str,
        headers: Mapping[str, str] | None = None,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        repeatable: bool = True,
        read: ReadBody | None = None,
    ) -> Answer:
        """Send a request and read its answer.

        Args:
            verb: of the protocol.
            uri: of the object, model or action.
            headers: of this request alone.
            arguments: by name, for the body.
            timeout_s: how long the server may take; None for the limits of the session.
            repeatable: carrying it out twice does no harm.
            read: reads the body, where it is not to stand in memory as a whole.

        Raises:
            ServerUnavailable: waiting may help.
            ServerRefused: the server refuses the request.
            ServerBroken: the answer can't be read.
        """
        body = json.dumps(arguments).encode() if arguments is not None else None
        timeout = self.until(self._timeouts.stall_s, self._timeouts.total_s)
        if timeout_s is not None:
            timeout = self.until(timeout_s, timeout_s)
        request = HttpRequest(verb, uri, headers or {}, body, timeout, repeatable)
        return await self.patiently(lambda: self._ask_now(request, read or _read_whole(verb)))

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask for something, and ask again while the server is busy and says for how long.

        Raises:
            ServerUnavailable: It is busy for longer, or does not say for how long. What `ask` raises is raised, too.
        """
        waited_s = 0.0
        while True:
            try:
                answer = await ask()
            except ServerUnavailable as error:
                waited_s += error.wait_s
                if not error.wait_s or waited_s > _PATIENCE_S:
                    raise
                if not self._busy:
                    log.warning("waiting", reason=str(error))
                self._busy = True
                await asyncio.sleep(lengthen(error.wait_s))
            else:
                self._busy = False
                return answer

    @asynccontextmanager
    async def open(
        self,
        uri: str,
        arguments: Mapping[str, Any],
        accepted: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        head_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Call an action that may be carried out twice; the answer, which the caller reads, is open for the context.

        Args:
            uri: of the action.
            arguments: by name.
            accepted: the headers that say which answers are accepted.
            timeout: the limits of time (see `until`).
            head_s: seconds within which the head of the answer must come; None where `timeout` limits that.

        Raises:
            PackratError: the server can't be reached, or refuses the request.
        """
        sent = {"CInP-Version": self._version, **accepted, **self.auth}
        sent["Content-Type"] = "application/json;charset=utf-8"
        body = json.dumps(arguments).encode()
        request = HttpRequest("CALL", uri, sent, body, timeout, repeatable=True, head_s=head_s)
        async with self._transport.send(request) as response:
            if not 200 <= response.status < 300:
                await self._refuse(response, f"CALL {uri[:200]}")
            yield response

    async def _ask_now(self, request: HttpRequest, read: ReadBody) -> Answer:
        what = f"{request.verb} {request.path[:200]}"
        for _ in VERSIONS:
            sent = {"CInP-Version": self._version, "Accept": "application/json", **self.auth, **request.headers}
            if request.body is not None:
                sent["Content-Type"] = "application/json;charset=utf-8"
            async with self._transport.send(replace(request, headers=sent)) as response:
                if 200 <= response.status < 300:
                    return await read(response, what)
                if response.status == 400 and self._speaks_another_version(response):
                    continue
                await self._refuse(response, what)
        raise ServerBroken(
            f"{what}: the server accepts none of the CInP versions {', '.join(VERSIONS)}", hint="upgrade the older one"
        )

    async def _refuse(self, response: aiohttp.ClientResponse, what: str) -> None:
        await raise_for(response, what, self._transport.proxy, self._transport.names)

    def _speaks_another_version(self, response: aiohttp.ClientResponse) -> bool:
        version = response.headers.get("Cinp-Version")
        if version is None or version == self._version:
            return False
        if version not in VERSIONS:
            raise ServerBroken(
                f"the server speaks CInP {version[:20]!r}, this program {', '.join(VERSIONS)}",
                hint="upgrade the older one",
            )
        self._version = version
        return True


@lru_cache(64)
def _limit(connect_s: float, read_s: float, total_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=connect_s, sock_connect=connect_s, sock_read=read_s)


def _read_whole(verb: str) -> ReadBody:
    bounds = LISTING if verb in ("LIST", "CALL") else RECORDS
    return lambda response, what: read_answer(response, what, bounds)
