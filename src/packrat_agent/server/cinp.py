"""Speaks CInP over HTTP; knows nothing of packrat.

Takes: an origin, CInP requests.
Gives: checked JSON values, or an error that says whether waiting may help.
Touches: network.

Source: the CInP protocol, versions 0.9 to 2.0.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from packrat_agent.errors import ConfigError, ServerBroken, ServerRefused, ServerUnavailable

VERSIONS = ("0.9", "1.0", "2.0")
_BODY_LIMIT = 64 * 1024 * 1024
_REQUEST_LINE_LIMIT = 4000
_IDS_AT_ONCE = 100
_PAGES_LIMIT = 20
_COUNT_LIMIT = 1_000_000
_CHUNK_BYTES = 256 * 1024
_MESSAGE_LIMIT = 300


class SessionEnded(ServerRefused):
    """The server no longer knows the session; log in again."""


class NotFound(ServerRefused):
    """The server has no such object; `object_id` where it said which."""

    def __init__(self, message: str, object_id: str | None) -> None:
        super().__init__(message)
        self.object_id = object_id


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection, for the next byte, for a whole answer."""

    connect_s: float = 10.0
    stall_s: float = 60.0
    total_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer: JSON value (None for an empty body) and the headers under lower-case names."""

    value: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Download:
    """An opened file: `start` is where its first byte stands; the chunks are as they arrive."""

    start: int
    response: aiohttp.ClientResponse
    what: str

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises: ServerUnavailable where the bytes stop coming."""
        try:
            async for chunk in self.response.content.iter_chunked(_CHUNK_BYTES):
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailable(f"{self.what} broke off: {_told(error)}; it goes on from there next time") from None


class CinpClient:
    """A connection pool to one origin, with a session of the server's where one was opened by `login`."""

    def __init__(
        self, origin: str, *, proxy: str | None = None, ca_file: Path | None = None, timeouts: Timeouts | None = None
    ) -> None:
        self._origin = origin
        self._proxy = URL(proxy) if proxy else None
        self._ca_file = ca_file
        self._timeouts = timeouts or Timeouts()
        self._version = VERSIONS[0]
        self._auth: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=_ssl_context(self._ca_file), limit=64)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def describe(self, uri: str) -> Mapping[str, Any]:
        """DESCRIBE a namespace, model or action."""
        return _object((await self._ask("DESCRIBE", uri)).value, f"DESCRIBE {uri}")

    async def get(self, uri: str) -> Mapping[str, Any]:
        """GET one object."""
        return _object((await self._ask("GET", uri)).value, f"GET {uri}")

    async def get_many(self, model: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """GET objects by their ids: URI → fields. Those that the server does not have are left out."""
        found: dict[str, Mapping[str, Any]] = {}
        waiting = list(_in_requests(model, ids))
        while waiting:
            some = waiting.pop()
            uri = f"{model}:{':'.join(some)}:"
            try:
                value = (await self._ask("GET", uri, {"Multi-Object": "True"})).value
            except NotFound as error:
                # One missing id makes the whole request a 404.
                rest = [one for one in some if one != error.object_id]
                if len(rest) == len(some):
                    rest = []
                    if len(some) > 1:
                        middle = len(some) // 2
                        waiting += [some[:middle], some[middle:]]
                if rest:
                    waiting.append(rest)
                continue
            asked = {f"{model}:{one}:" for one in some}
            for key, record in _object(value, f"GET {model}").items():
                if key in asked and isinstance(record, dict):
                    found[key] = record
        return found

    async def list_uris(self, model: str, filter_name: str, arguments: Mapping[str, Any]) -> list[str]:
        """LIST the URIs that a filter lets through, all of them, each once.

        The order is not stable from page to page, so one page of all is asked for, again while the total grows.
        Raises: ServerBroken where counts or entries have the wrong shape, or never come to agree.
        """
        count = 1000
        for _ in range(_PAGES_LIMIT):
            headers = {"Filter": filter_name, "Position": "0", "Count": str(count)}
            answer = await self._ask("LIST", model, headers, arguments)
            uris = answer.value
            if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
                raise ServerBroken(f"LIST {model} answered with something that is no list of URIs")
            total = _count(answer.headers.get("total"), model)
            if len(uris) >= total:
                return list(dict.fromkeys(uris))
            count = total + 100
        raise ServerBroken(f"LIST {model} never gave as many entries as it says there are")

    async def call(self, uri: str, arguments: Mapping[str, Any], timeout_s: float | None = None) -> Any:
        """CALL an action; None where it has no result. timeout_s: how long the server may take to answer."""
        return (await self._ask("CALL", uri, {}, arguments, timeout_s)).value

    async def create(self, model: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """CREATE an object."""
        return _object((await self._ask("CREATE", model, {}, arguments)).value, f"CREATE {model}")

    async def login(self, action: str, username: str, password: str) -> None:
        """Open a session by calling the login action.

        Raises: ServerRefused where name or password are wrong.
        """
        # A session that ended makes even the login a 401.
        self._auth = {}
        token = await self.call(action, {"username": username, "password": password})
        if not isinstance(token, str) or not 1 <= len(token) <= 500 or not token.isascii() or not token.isprintable():
            raise ServerBroken("the login answered with something that is no token")
        self._auth = {"Auth-Id": username, "Auth-Token": token}

    @asynccontextmanager
    async def open_file(self, path: str, offset: int = 0) -> AsyncIterator[Download]:
        """GET a file of the same origin, from `offset` on where the server can.

        Raises: SessionEnded, ServerRefused (missing, forbidden), ServerUnavailable, ServerBroken (a redirect).
        """
        headers = {**self._auth, "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        what = f"the download of {path[:200]}"
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeouts.connect_s, sock_read=self._timeouts.stall_s)
        async with self._request("GET", path, headers, None, timeout) as response:
            if response.status == 416 and offset:
                # What is there is as long as the file, or longer: its hash will tell.
                yield Download(offset, _Nothing, what)  # type: ignore[arg-type]
                return
            if response.status not in (200, 206):
                await self._raise_for(response, what)
            start = 0
            if response.status == 206:
                start = _range_start(response.headers.get("Content-Range", ""), what)
                if start != offset:
                    raise ServerBroken(f"{what}: asked from byte {offset} on, the answer begins at {start}")
            yield Download(start, response, what)

    async def post_file(self, path: str, name: str, body: Any, size: int) -> Any:
        """POST a file; gives the JSON answer."""
        headers = {
            **self._auth,
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'inline; filename="{name}"',
            "Content-Length": str(size),
        }
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeouts.connect_s, sock_read=self._timeouts.total_s)
        async with self._request("POST", path, headers, body, timeout) as response:
            if response.status >= 300:
                await self._raise_for(response, f"the upload of {name}")
            return (await self._read(response, f"the upload of {name}")).value

    async def _ask(
        self,
        verb: str,
        uri: str,
        headers: Mapping[str, str] | None = None,
        arguments: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        what = f"{verb} {uri[:200]}"
        body = json.dumps(arguments).encode() if arguments is not None else None
        total_s = self._timeouts.total_s if timeout_s is None else timeout_s
        timeout = aiohttp.ClientTimeout(
            total=total_s,
            sock_connect=self._timeouts.connect_s,
            sock_read=self._timeouts.stall_s if timeout_s is None else timeout_s,
        )
        for _ in VERSIONS:
            sent = {"CInP-Version": self._version, "Accept": "application/json", **self._auth, **(headers or {})}
            if body is not None:
                sent["Content-Type"] = "application/json;charset=utf-8"
            async with self._request(verb, uri, sent, body, timeout) as response:
                if 200 <= response.status < 300:
                    return await self._read(response, what)
                if response.status == 400 and self._speaks_another_version(response):
                    continue
                await self._raise_for(response, what)
        raise ServerBroken(f"{what}: the server accepts none of the CInP versions {', '.join(VERSIONS)}")

    def _speaks_another_version(self, response: aiohttp.ClientResponse) -> bool:
        version = response.headers.get("Cinp-Version")
        if version is None or version == self._version:
            return False
        if version not in VERSIONS:
            raise ServerBroken(
                f"the server speaks CInP {version[:20]!r}, this packrat-agent {', '.join(VERSIONS)}; upgrade the older one"
            )
        self._version = version
        return True

    @asynccontextmanager
    async def _request(
        self, verb: str, path: str, headers: Mapping[str, str], body: Any, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        if not path.startswith("/") or path.startswith("//"):
            raise ServerBroken(f"{path[:200]!r} is no path on {self._origin}")
        url = URL(self._origin + path, encoded=True)
        if body is None and verb not in ("GET", "POST"):
            headers = {**headers, "Content-Length": "0"}
        try:
            async with self._session.request(
                verb, url, headers=headers, data=body, proxy=self._proxy, timeout=timeout, allow_redirects=False
            ) as response:
                yield response
        except aiohttp.ClientHttpProxyError as error:
            raise ServerUnavailable(f"the proxy refused ({error.status}); check proxy in [packrat]") from None
        except aiohttp.ClientProxyConnectionError as error:
            raise ServerUnavailable(f"the proxy can't be reached: {_told(error)}; check proxy in [packrat]") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise ServerUnavailable(
                f"the certificate of {self._origin} is not trusted ({error.certificate_error}); set ca_file"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise ServerUnavailable(f"{self._origin} can't be reached: {_told(error)}") from None

    async def _read(self, response: aiohttp.ClientResponse, what: str) -> Answer:
        data = await _body(response, what)
        headers = {name.lower(): value for name, value in response.headers.items()}
        if not data:
            return Answer(None, headers)
        try:
            return Answer(json.loads(data), headers)
        except (ValueError, RecursionError):
            raise ServerBroken(f"{what} answered with something that is no JSON; is {self._origin} packrat?") from None

    async def _raise_for(self, response: aiohttp.ClientResponse, what: str) -> None:
        status = response.status
        try:
            message, fields = _message(await _body(response, what))
        except ServerBroken:
            message, fields = "", {}
        told = f"{what}: {status}{f', {message}' if message else ''}"
        if 300 <= status < 400:
            raise ServerBroken(f"{told}: redirects are not followed; set host to where the server really is")
        if status == 401:
            raise SessionEnded(told)
        if status == 407:
            raise ServerUnavailable(
                f"the proxy wants a password ({status}); set proxy to http://user:password@host:port"
            )
        if status == 404:
            object_id = fields.get("object_id")
            raise NotFound(told, object_id if isinstance(object_id, str) else None)
        if status >= 500 or status in (408, 429):
            raise ServerUnavailable(told)
        raise ServerRefused(told)


class _Nothing:
    """The body of an answer that has none."""

    class content:  # noqa: N801 stands for ClientResponse.content
        """No bytes."""

        @staticmethod
        async def iter_chunked(_size: int) -> AsyncIterator[bytes]:
            """Nothing."""
            for chunk in ():
                yield chunk


async def _body(response: aiohttp.ClientResponse, what: str) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        data += chunk
        if len(data) > _BODY_LIMIT:
            response.close()
            raise ServerBroken(f"{what} answered with more than {_BODY_LIMIT} bytes")
    return bytes(data)


def _message(data: bytes) -> tuple[str, Mapping[str, Any]]:
    """Find the words in an error body: `message`, {field: text}, {model_path, object_id}, plain text; HTML has none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data[: _MESSAGE_LIMIT * 2].decode("utf-8", "replace")
    if isinstance(value, dict):
        if isinstance(value.get("message"), str):
            return _clean(value["message"]), value
        return _clean("; ".join(f"{name}: {text}" for name, text in list(value.items())[:10])), value
    if isinstance(value, str) and not value.lstrip().startswith("<"):
        return _clean(value), {}
    return "", {}


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MESSAGE_LIMIT]).strip()


def _told(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return _clean(str(error)) or type(error).__name__


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ServerBroken(f"{what[:200]} answered with something that is no object")
    return value


def _count(text: str | None, model: str) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > _COUNT_LIMIT:
        raise ServerBroken(f"LIST {model} says that there are {text!r} entries; at most {_COUNT_LIMIT} can be")
    return int(text)


def _in_requests(model: str, ids: Sequence[str]) -> list[list[str]]:
    """Split ids so that each request has at most 100 of them and a request line that every server reads."""
    requests: list[list[str]] = []
    length = _REQUEST_LINE_LIMIT
    for one in dict.fromkeys(ids):
        length += len(one) + 1
        if length > _REQUEST_LINE_LIMIT or len(requests[-1]) >= _IDS_AT_ONCE:
            requests.append([])
            length = len(model) + len(one) + 20
        requests[-1].append(one)
    return requests


def _range_start(header: str, what: str) -> int:
    unit, _, rest = header.partition(" ")
    start = rest.partition("-")[0]
    if unit != "bytes" or not start.isascii() or not start.isdigit() or len(start) > 18:
        raise ServerBroken(f"{what}: a partial answer without a usable Content-Range")
    return int(start)


def _ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_file {ca_file} can't be used: {error}") from None
