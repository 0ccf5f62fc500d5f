"""Turns the answers of an HTTP server into checked values, or into errors that say whether waiting may help."""

import html
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from packrat_core.cinp.download import CHUNK_BYTES
from packrat_core.cinp.failures import (
    NO_CLIENT_CERTIFICATE,
    SettingNames,
    clean,
    explain_proxy_status,
    way_through,
)
from packrat_core.cinp.limits import Bounds, TooMuch, parse_json
from packrat_core.cinp.refusals import NotFound, SessionEnded, TooMany
from packrat_core.cinp.retry_after import read_retry_after
from packrat_core.cinp.text_list import NotAList, TextList
from packrat_core.errors import ServerBroken, ServerRefused, ServerUnavailable, WrongRange
from packrat_core.text import count_of

_ERROR_LIMIT = 64 * 1024
_MESSAGE_LIMIT = 300
_DIGITS_LIMIT = 15
_ENTRY_BYTES = 300
"""The most that an entry of a list may take, on average; a URI of a package file has some fifty bytes."""
_PAGE_LIMIT = 4096
_TITLE = re.compile(r"<title>([^<]{1,200})</title>", re.IGNORECASE)
_REFUSALS = (400, 401, 403, 404)
_SMALLER_BODIES = "raise what the web server in front takes (nginx: client_max_body_size, Apache: LimitRequestBody)"
_PLAIN_TO_TLS = ("plain HTTP request was sent to HTTPS port", "speaking plain HTTP to an SSL-enabled server port")
"""What nginx and Apache say of a request without TLS to a port that wants it."""
_LOST_DATABASE = ("connection already closed", "server closed the connection", "terminating connection")
"""What the original server says once its database was restarted, to every request until it is restarted itself.

Source: libpq and psycopg2, messages of OperationalError and InterfaceError.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer: JSON value (None for an empty body), the headers under lower-case names, its size in bytes."""

    value: Any
    headers: Mapping[str, str]
    size: int = 0


async def read_answer(response: aiohttp.ClientResponse, what: str, bounds: Bounds) -> Answer:
    """Read a JSON answer.

    Args:
        response: The response; only its head was read.
        what: What was asked, for messages.
        bounds: How much is accepted.

    Raises:
        ServerBroken: It is too long or not JSON.
    """
    # One byte beyond the limit shows that the answer is longer.
    data = await _body(response, bounds.size + 1)
    size = len(data)
    headers = {name.lower(): value for name, value in response.headers.items()}
    if not data:
        return Answer(None, headers)
    try:
        return Answer(parse_json(data, bounds), headers, size)
    except TooMuch as error:
        raise ServerBroken(f"{what} answered with {error}", hint=_hint_at_origin(response)) from None
    except (ValueError, RecursionError):
        hint, coding = _hint_at_origin(response), headers.get("content-encoding", "identity")
        if coding != "identity":
            hint = f"something in front of the server compresses its answers ({coding[:20]!r}) unasked: switch that off"
        raise ServerBroken(f"{what} answered with something that is not JSON", hint=hint) from None


async def read_texts(
    response: aiohttp.ClientResponse, what: str, limit: int, take: Callable[[Sequence[str]], Awaitable[None]]
) -> int:
    """Read an answer that is a JSON list of texts, and give the texts on as they come.

    Args:
        response: The answer.
        what: Names the request in messages.
        limit: The largest number of texts.
        take: Called with some texts at a time, in order.

    Returns:
        The number of texts, each as often as it came.

    Raises:
        ServerBroken: It is something else, or has too many bytes.
        TooMany: It has too many texts.
    """
    texts = TextList(_ENTRY_BYTES * (limit + 1000))
    try:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            found = texts.feed(chunk)
            if texts.count > limit:
                response.close()
                raise TooMany(
                    f"{what} answered with {texts.count} entries or more; at most {limit} can be", texts.count
                )
            if found:
                await take(found)
        texts.end()
    except (TooMuch, NotAList) as error:
        # It may have no end.
        response.close()
        hint = _hint_at_origin(response)
        found_instead = str(error) or "something that is not a list of URIs"
        raise ServerBroken(f"{what} answered with {found_instead}", hint=hint) from None
    return texts.count


async def raise_for(response: aiohttp.ClientResponse, what: str, proxy: URL | None, names: SettingNames) -> None:
    """Raise what an answer outside 2xx means, with the server's own words.

    Args:
        response: The answer.
        what: The request.
        proxy: What the request went through, whose answer it may be; None for nothing.
        names: What the settings are called.

    Raises:
        PackratError: Always.
    """
    status = response.status
    message, fields = _message(await _body(response, _ERROR_LIMIT))
    where = f"{response.url.origin()}{way_through(proxy)}"
    text = f"{what} at {where}: {status}{f', {message}' if message else ''}"
    if 300 <= status < 400:
        raise ServerBroken(
            f"{text}: redirects are not followed", hint=f"set {names.origin} to where the server really is"
        )
    # The API explains a refusal in a JSON object; a proxy or web server in front of it has HTML or text.
    by_api = bool(fields) and status in _REFUSALS
    api_message = message if by_api else ""
    if status == 401:
        raise SessionEnded(text, by_api=by_api, api_message=api_message)
    if status == 407:
        raise explain_proxy_status(status, proxy, names)
    if status == 404:
        object_id = fields.get("object_id")
        raise NotFound(text, object_id if isinstance(object_id, str) else None, by_api=by_api, api_message=api_message)
    unavailable = _explain_unavailable(response, text, message)
    if unavailable is not None:
        raise unavailable
    code = fields.get("error")
    hint = "" if by_api else _SMALLER_BODIES if status == 413 and not fields else _hint_at(message, names)
    raise ServerRefused(
        text, code if isinstance(code, str) else None, by_api=by_api, api_message=api_message, hint=hint
    )


def _explain_unavailable(response: aiohttp.ClientResponse, text: str, message: str) -> ServerUnavailable | None:
    """Explain an answer after which waiting may help; None for any other.

    Args:
        response: The answer.
        text: The request, the server and the answer, for messages.
        message: The server's own words.
    """
    status = response.status
    # A moment that the server names is kept to; without one, the back-off of the caller decides.
    if status in (429, 503):
        wait_s = read_retry_after(response.headers.get("Retry-After"), response.headers.get("Date"), time.time())
        if wait_s is not None:
            wait = count_of(round(wait_s), "second")
            # Busy, under maintenance, or without its database.
            hint = "if that lasts, look at the log of the server" if status == 503 else ""
            return ServerUnavailable(f"{text}; it asks to wait for {wait}", wait_s, hint=hint)
    if status == 429:
        return ServerUnavailable(f"{text}; it is busy: wait a while")
    if status >= 500 and any(words in message.lower() for words in _LOST_DATABASE):
        return ServerUnavailable(text, hint="restart the packrat server (its database was restarted)")
    if status >= 500 or status == 408:
        return ServerUnavailable(text, hint="this is a fault there: look at the log of the server")
    return None


def _hint_at_origin(response: aiohttp.ClientResponse) -> str:
    return f"see that {response.url.origin()} is the packrat server, and that nothing answers in its place"


def _hint_at(message: str, names: SettingNames) -> str:
    """Say what to do about the refusals of web servers that have to do with TLS."""
    if any(words in message for words in _PLAIN_TO_TLS):
        return f"let {names.origin} begin with https://"
    return NO_CLIENT_CERTIFICATE if "SSL certificate" in message else ""


def as_object(value: Any, what: str) -> Mapping[str, Any]:
    """Check that a value is a JSON object.

    Raises:
        ServerBroken: It is not.
    """
    if not isinstance(value, dict):
        raise ServerBroken(f"{what[:200]} answered with something that is not an object")
    return value


def as_count(text: str | None, model: str, limit: int) -> int:
    """Read the number of entries from a header.

    Args:
        text: The header; None where there is none.
        model: What is listed, for the message.
        limit: The largest number that there may be.

    Raises:
        ServerBroken: It is missing, or not a number.
        TooMany: It is too large.
    """
    shown = repr(text[:40]) if text is not None else "not how many"
    message = f"LIST {model} says that there are {shown} entries; at most {limit} can be"
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _DIGITS_LIMIT:
        raise ServerBroken(message)
    if int(text) > limit:
        raise TooMany(message, int(text))
    return int(text)


def check_range(header: str, offset: int, what: str) -> int:
    """Check that a partial answer begins where it was to begin; gives that offset.

    Args:
        header: Its Content-Range.
        offset: What was asked for.
        what: Names the answer in messages.

    Raises:
        WrongRange: It begins elsewhere, or doesn't say where.
    """
    unit, _, rest = header.partition(" ")
    start = rest.partition("-")[0]
    if unit != "bytes" or not start.isascii() or not start.isdigit() or len(start) > 18:
        raise WrongRange(f"{what}: a partial answer without a usable Content-Range")
    if int(start) != offset:
        raise WrongRange(f"{what}: asked from byte {offset} on, the answer begins at {int(start)}")
    return offset


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
            # It may have no end.
            response.close()
            del data[limit:]
            break
    return data


def _message(data: bytearray) -> tuple[str, Mapping[str, Any]]:
    """Find the words in an error body: `message`, {field: text}, {model_path, object_id}, plain text, title of HTML."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = _words_of(data.decode("utf-8", "replace"))
    if isinstance(value, dict):
        if isinstance(value.get("message"), str):
            return clean(value["message"]), value
        return clean("; ".join(f"{name}: {text}" for name, text in list(value.items())[:10])), value
    return clean(value) if isinstance(value, str) else "", {}


def _words_of(text: str) -> str:
    """Return the beginning of a text; of a page in HTML the title, which web servers begin with the status."""
    if not text.lstrip().startswith("<"):
        return text[: _MESSAGE_LIMIT * 2]
    title = _TITLE.search(text[:_PAGE_LIMIT])
    found = html.unescape(title[1]).strip() if title is not None else ""
    # Apache has this in the page alone.
    plain_to_tls = next((words for words in _PLAIN_TO_TLS if words in text[:_PAGE_LIMIT]), "")
    return plain_to_tls or re.sub(r"^\d{3} +", "", found)
