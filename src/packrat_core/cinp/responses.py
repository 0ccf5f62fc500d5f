"""Turns what an HTTP server answers into checked values, or into an error that says whether waiting may help.

Takes: aiohttp responses.
Gives: JSON values, downloads, errors.
Touches: network, through the response.
"""

import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from packrat_core.cinp.failures import clean, explain_proxy_status, way_through, why_broken
from packrat_core.cinp.limits import Bounds, TooMuch, parse_json
from packrat_core.cinp.route import RateLimit
from packrat_core.errors import ServerBroken, ServerRefused, ServerUnavailable, TooLarge

CHUNK_BYTES = 256 * 1024
_ERROR_LIMIT = 64 * 1024
_COUNT_LIMIT = 500_000
_MESSAGE_LIMIT = 300


class SessionEnded(ServerRefused):
    """The server no longer knows the session; log in again."""


class LoginRefused(ServerRefused):
    """The server does not take this mirror's name and psk."""


class NotFound(ServerRefused):
    """The server has no such object; `object_id` where it said which."""

    def __init__(self, message: str, object_id: str | None) -> None:
        super().__init__(message)
        self.object_id = object_id


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer: JSON value (None for an empty body), the headers under lower-case names, its size in bytes."""

    value: Any
    headers: Mapping[str, str]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Download:
    """An opened file: `start` is where its first byte stands; the chunks are as they arrive, and no faster than `rate`.

    validator: the server's name for this state of the file, None where it gives none. stall_s: in so many seconds
    something has to come, and not just a trickle. max_bytes: of the whole file.
    Without a response there is nothing left to read from `start` on.
    """

    start: int
    what: str
    response: aiohttp.ClientResponse | None
    rate: RateLimit
    validator: str | None = None
    stall_s: float = 60.0
    max_bytes: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises: ServerUnavailable where the bytes stop coming, or hardly come; TooLarge where they don't end."""
        if self.response is None:
            return
        size = min(CHUNK_BYTES, self.rate.chunk_bytes or CHUNK_BYTES)
        at = self.start
        since, at_since = time.monotonic(), at
        try:
            async for chunk in self.response.content.iter_chunked(size):
                at += len(chunk)
                if self.max_bytes is not None and at > self.max_bytes:
                    raise TooLarge(f"{self.what} has more than {self.max_bytes} bytes; raise max_file_size if it may")
                await self.rate.take(len(chunk))
                yield chunk
                passed_s = time.monotonic() - since
                if passed_s >= self.stall_s:
                    if at - at_since < self.rate.slowest_bytes_per_s * passed_s:
                        raise TimeoutError
                    since, at_since = time.monotonic(), at
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailable(
                f"{self.what} broke off: {why_broken(error)}; it goes on from there next time"
            ) from None


async def read_answer(response: aiohttp.ClientResponse, what: str, bounds: Bounds) -> Answer:
    """Read a JSON answer.

    Raises: ServerBroken where it is too long or no JSON.
    """
    # One byte more tells that there are more.
    data = await _body(response, bounds.size + 1)
    size = len(data)
    headers = {name.lower(): value for name, value in response.headers.items()}
    if not data:
        return Answer(None, headers)
    try:
        return Answer(parse_json(data, bounds), headers, size)
    except TooMuch as error:
        raise ServerBroken(f"{what} answered with {error}; is {response.url.origin()} a packrat server?") from None
    except (ValueError, RecursionError):
        raise ServerBroken(
            f"{what} answered with something that is no JSON; is {response.url.origin()} a packrat server?"
        ) from None


async def raise_for(response: aiohttp.ClientResponse, what: str, proxy: URL | None = None) -> None:
    """Raise what an answer outside 2xx means, with the server's own words; where there is a proxy, it may be its own.

    Raises: PackratError
    """
    status = response.status
    message, fields = _message(await _body(response, _ERROR_LIMIT))
    where = f"{response.url.origin()}{way_through(proxy)}"
    text = f"{what} at {where}: {status}{f', {message}' if message else ''}"
    if 300 <= status < 400:
        raise ServerBroken(f"{text}: redirects are not followed; set host to where the server really is")
    if status == 401:
        raise SessionEnded(text)
    if status == 407:
        raise explain_proxy_status(status, proxy)
    if status == 404:
        object_id = fields.get("object_id")
        raise NotFound(text, object_id if isinstance(object_id, str) else None)
    if status >= 500 or status in (408, 429):
        raise ServerUnavailable(f"{text}; this is a fault there: look at the log of the server")
    raise ServerRefused(text)


def as_object(value: Any, what: str) -> Mapping[str, Any]:
    """Raises: ServerBroken where the value is no JSON object."""
    if not isinstance(value, dict):
        raise ServerBroken(f"{what[:200]} answered with something that is no object")
    return value


def as_count(text: str | None, model: str) -> int:
    """Raises: ServerBroken where a header is no usable number of entries."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > _COUNT_LIMIT:
        shown = repr(text[:40]) if text is not None else "not how many"
        raise ServerBroken(f"LIST {model} says that there are {shown} entries; at most {_COUNT_LIMIT} can be")
    return int(text)


def range_start(header: str, what: str) -> int:
    """Read the first byte's place out of Content-Range.

    Raises: ServerBroken
    """
    unit, _, rest = header.partition(" ")
    start = rest.partition("-")[0]
    if unit != "bytes" or not start.isascii() or not start.isdigit() or len(start) > 18:
        raise ServerBroken(f"{what}: a partial answer without a usable Content-Range")
    return int(start)


def read_validator(header: str | None) -> str | None:
    """Take an ETag that can be compared byte by byte: a weak or senseless one can't."""
    if header is None or not re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', header):
        return None
    return header


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytearray:
    data = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        data += chunk
        if len(data) >= limit:
            # There may be no end to it.
            response.close()
            del data[limit:]
            break
    return data


def _message(data: bytearray) -> tuple[str, Mapping[str, Any]]:
    """Find the words in an error body: `message`, {field: text}, {model_path, object_id}, plain text; HTML has none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data[: _MESSAGE_LIMIT * 2].decode("utf-8", "replace")
    if isinstance(value, dict):
        if isinstance(value.get("message"), str):
            return clean(value["message"]), value
        return clean("; ".join(f"{name}: {text}" for name, text in list(value.items())[:10])), value
    if isinstance(value, str) and not value.lstrip().startswith("<"):
        return clean(value), {}
    return "", {}
