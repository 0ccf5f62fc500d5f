"""Speaks CInP over HTTP: the verbs of the protocol, and the files beside them; knows nothing of packrat.

    async with CinpClient("https://packrat.example.com") as client:
        record = await client.get("/api/v2/Repo/Repo:apt-dev:")

1. All answers are checked for their shape and size; what they mean is for the caller to check.
2. Without another word, a request may be carried out twice; `create`, `post_file` and most calls may not.

Source: the CInP protocol, versions 0.9 to 2.0.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from packrat_core.aio.workers import run_workers
from packrat_core.cinp.batches import split_ids
from packrat_core.cinp.bulk_pace import Pace
from packrat_core.cinp.bulk_work import BulkWork
from packrat_core.cinp.download import Download
from packrat_core.cinp.failures import MIRROR_CONF, SettingNames
from packrat_core.cinp.line_stream import MEDIA_TYPE, LineStream, Silent
from packrat_core.cinp.listing import Sink, UriQuery, list_uris
from packrat_core.cinp.post_file import post_file
from packrat_core.cinp.rate_limit import RateLimit
from packrat_core.cinp.refusals import NotFound
from packrat_core.cinp.responses import as_object, check_range, raise_for, read_validator
from packrat_core.cinp.session import CinpSession, Timeouts
from packrat_core.cinp.transport import HttpRequest, Transport
from packrat_core.errors import ServerBroken
from packrat_core.text import count_of

_REQUESTS_AT_ONCE = 3
_BULK_AT_ONCE = 2
"""How many requests for records the bulk work makes: the original server has three workers; one is left to others."""
_BULK_DOWNLOADS = 64
_DOWNLOAD_MARGIN_S = 0.5
"""Downloads share the line, too, so their answers begin less regularly."""
_MEASURED_IDS = 50
"""An answer of fewer records says nothing about the server's pace."""
_RECORDS_LIMIT = 16 * 1024 * 1024
_LINES = {"Accept": f"{MEDIA_TYPE}, application/json"}
_BYTES = {"Accept": "application/octet-stream, application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Limits of downloads; None for no limit.

    Attributes:
        bytes_per_s: Bytes a second, of all downloads together.
        file_bytes: The size of a file.
    """

    bytes_per_s: int | None = None
    file_bytes: int | None = None


class CinpClient:
    """A connection pool to one origin, with a session of the server's where one was opened by `login`.

    Requests of bulk work adapt to the pace of the server (see `bulk_pace`); all others are sent at once. Every request
    may raise ServerUnavailable (waiting may help), ServerRefused (it does not) and ServerBroken (the answer can't be
    used); where a method has a `Raises:` of its own, it names what else, or when.

    no_proxy: hosts reached without the proxy (see `route.bypasses`). names: what the user calls the settings.
    """

    def __init__(
        self,
        origin: str,
        *,
        proxy: str | None = None,
        no_proxy: Collection[str] = (),
        ca_file: Path | None = None,
        timeouts: Timeouts | None = None,
        downloads: DownloadLimits | None = None,
        names: SettingNames = MIRROR_CONF,
    ) -> None:
        self._transport = Transport(origin, proxy, no_proxy, ca_file, names)
        limits = downloads or DownloadLimits()
        self._rate = RateLimit(limits.bytes_per_s)
        self._max_file_bytes = limits.file_bytes
        self._timeouts = timeouts or Timeouts()
        self._session = CinpSession(self._transport, self._timeouts)
        self._bulk_records = BulkWork(Pace(_BULK_AT_ONCE))
        self._bulk_downloads = BulkWork(Pace(_BULK_DOWNLOADS, _DOWNLOAD_MARGIN_S))

    @property
    def names(self) -> SettingNames:
        """What the user calls the settings."""
        return self._transport.names

    @property
    def clock_ahead_s(self) -> float:
        """By how much this host's clock is ahead of the server's; 0 if they agree."""
        return self._transport.clock_ahead_s

    @property
    def is_busy(self) -> bool:
        """Whether bulk work is under way."""
        return self._bulk_records.is_busy or self._bulk_downloads.is_busy

    @property
    def max_file_bytes(self) -> int | None:
        """The largest size that a downloaded file may have; None for any."""
        return self._max_file_bytes

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._transport.__aexit__(*exception)

    async def describe(self, uri: str) -> Mapping[str, Any]:
        """DESCRIBE a namespace, model or action."""
        return as_object((await self._session.ask("DESCRIBE", uri)).value, f"DESCRIBE {uri}")

    async def get(self, uri: str) -> Mapping[str, Any]:
        """GET one object."""
        return as_object((await self._session.ask("GET", uri)).value, f"GET {uri}")

    async def get_many(self, model: str, ids: Sequence[str], *, bulk: bool = False) -> dict[str, Mapping[str, Any]]:
        """GET objects by their ids: URI → fields. Those that the server does not have are left out; those of which an
        answer lacks the fields have none.

        Args:
            model: The model of the objects.
            ids: The ids of the objects.
            bulk: It is bulk work, which takes its turn and leaves the server time for others.

        Raises:
            ServerBroken: The answers are too large to be records.
        """
        found: dict[str, Mapping[str, Any]] = {}
        waiting = list(split_ids(model, ids))
        size = 0
        get_some = self._get_some_in_turn if bulk else self._get_some

        async def work() -> None:
            nonlocal size
            while waiting:
                records, again, more = await get_some(model, waiting.pop())
                size += more
                if size > _RECORDS_LIMIT:
                    take = count_of(len(ids), "record takes", "records take")
                    raise ServerBroken(f"GET {model}: {take} more than {_RECORDS_LIMIT} bytes")
                found.update(records)
                waiting.extend(again)

        await run_workers(work, min(_REQUESTS_AT_ONCE, len(waiting)))
        return found

    async def _get_some_in_turn(
        self, model: str, ids: list[str]
    ) -> tuple[dict[str, Mapping[str, Any]], list[list[str]], int]:
        """Call `_get_some` when it is its turn in the bulk work."""
        async with self._bulk_records.turn() as turn:
            found, again, size = await self._get_some(model, ids)
            if len(found) >= _MEASURED_IDS:
                turn.note_answer()
        return found, again, size

    async def _get_some(self, model: str, ids: list[str]) -> tuple[dict[str, Mapping[str, Any]], list[list[str]], int]:
        """GET objects in one request; gives those found, what to ask for again, how many bytes the answer had."""
        try:
            answer = await self._session.ask("GET", f"{model}:{':'.join(ids)}:", {"Multi-Object": "True"})
        except NotFound as error:
            # One missing id makes the whole request a 404.
            rest = [object_id for object_id in ids if object_id != error.object_id]
            if len(rest) < len(ids):
                return {}, [rest] if rest else [], 0
            middle = len(ids) // 2
            return {}, [ids[:middle], ids[middle:]] if middle else [], 0
        records = as_object(answer.value, f"GET {model}")
        # One that is not there makes the request a 404. So what is left out here must not pass for removed.
        shown = ((uri, records.get(uri)) for uri in (f"{model}:{object_id}:" for object_id in ids))
        found: dict[str, Mapping[str, Any]] = {uri: record if isinstance(record, dict) else {} for uri, record in shown}
        return found, [], answer.size

    async def list_uris(self, model: str, filter_name: str | None, arguments: Mapping[str, Any]) -> list[str]:
        """LIST the URIs that a filter lets through, all of them, each once.

        Args:
            model: The path of the model.
            filter_name: The filter; None for all objects.
            arguments: The arguments of the filter.

        Raises:
            ServerBroken: Counts or entries have the wrong shape, or never agree.
        """
        found: dict[str, None] = {}

        async def take(uris: Sequence[str]) -> None:
            found.update(dict.fromkeys(uris))

        await self.list_into(UriQuery(model, filter_name, arguments), Sink(found.clear, take))
        return list(found)

    async def list_into(self, query: UriQuery, sink: Sink) -> None:
        """LIST the URIs that a filter lets through, without holding them in memory.

        Raises:
            ServerBroken: Counts or entries have the wrong shape, never agree, or are too many.
        """
        await list_uris(self._session, query, sink)

    async def call(
        self, uri: str, arguments: Mapping[str, Any], timeout_s: float | None = None, *, repeatable: bool = False
    ) -> Any:
        """CALL an action; None where it has no result.

        Args:
            uri: of the action.
            arguments: by name.
            timeout_s: how long the server may take to answer.
            repeatable: carrying it out twice does no harm.

        Raises:
            NoAnswer: the connection died unanswered; what is not repeatable may have been carried out.
        """
        return (await self._session.ask("CALL", uri, {}, arguments, timeout_s=timeout_s, repeatable=repeatable)).value

    async def open_lines(
        self, uri: str, arguments: Mapping[str, Any], *, begin_s: float, silent_s: float
    ) -> LineStream:
        """CALL an action whose answer stays open; the caller closes it.

        Args:
            uri: of the action, which may be carried out twice.
            arguments: by name.
            begin_s: seconds within which the answer must begin.
            silent_s: seconds within which the next byte must come.

        Raises:
            Silent: it does not begin.
        """
        async with AsyncExitStack() as opened:
            try:
                async with asyncio.timeout(begin_s):
                    opening = self._session.open(uri, arguments, _LINES, self._session.until(silent_s))
                    response = await opened.enter_async_context(opening)
                    lines = LineStream(f"CALL {uri[:200]}", response)
                    await lines.begin()
            except TimeoutError:
                raise Silent(f"CALL {uri[:200]}: the answer does not begin") from None
            lines.close_with(opened.pop_all())
            return lines

    @asynccontextmanager
    async def open_bytes_in_turn(self, uri: str, arguments: Mapping[str, Any]) -> AsyncIterator[Download]:
        """CALL an action whose answer is bytes, as a part of bulk work; its limits of time are those of downloads.

        Args:
            uri: of the action, which may be carried out twice.
            arguments: by name.

        Raises:
            SessionEnded: The session is over.
        """
        limits = self._timeouts
        timeout = self._session.until(limits.stall_s, limits.download_s)
        async with self._bulk_downloads.turn() as turn:
            opening = self._session.open(uri, arguments, _BYTES, timeout, limits.connect_s + limits.stall_s)
            async with opening as response:
                turn.note_answer()
                what = f"CALL {uri[:200]} at {response.url.origin()}"
                yield Download(0, what, response, self._rate, stall_s=limits.stall_s)

    async def create(self, model: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """CREATE an object.

        Raises:
            NoAnswer: The connection died; it may have been created.
        """
        return as_object(
            (await self._session.ask("CREATE", model, {}, arguments, repeatable=False)).value, f"CREATE {model}"
        )

    async def delete(self, uri: str, arguments: Mapping[str, Any] | None = None) -> None:
        """DELETE one object.

        Args:
            uri: of the object.
            arguments: by name; None for none, which every server takes.

        Raises:
            NotFound: There is none.
            NoAnswer: The connection died; it may have been deleted.
        """
        await self._session.ask("DELETE", uri, {}, arguments, repeatable=False)

    async def login(self, action: str, username: str, password: str) -> None:
        """Open a session by calling the login action.

        Args:
            action: The path of the action.
            username: The name of the user.
            password: The user's password.

        Raises:
            ServerRefused: Name or password are wrong.
        """
        # A session that ended makes even the login a 401.
        self._session.log_out()
        token = await self.call(action, {"username": username, "password": password}, repeatable=True)
        if not isinstance(token, str) or not 1 <= len(token) <= 500 or not token.isascii() or not token.isprintable():
            raise ServerBroken("the login answered with something that is not a token")
        self._session.log_in(username, token)

    async def logout(self, action: str) -> None:
        """End the session by calling the logout action."""
        await self.call(action, {}, repeatable=True)
        self._session.log_out()

    @asynccontextmanager
    async def open_file_in_turn(
        self, path: str, offset: int = 0, validator: str | None = None
    ) -> AsyncIterator[Download]:
        """Open a file as `open_file` does, as a part of bulk work; the pace is that in which answers begin.

        Args:
            path: As for `open_file`.
            offset: As for `open_file`.
            validator: As for `open_file`.
        """
        async with self._bulk_downloads.turn() as turn, self.open_file(path, offset, validator) as download:
            turn.note_answer()
            yield download

    @asynccontextmanager
    async def open_file(self, path: str, offset: int = 0, validator: str | None = None) -> AsyncIterator[Download]:
        """GET a file of the same origin, from `offset` on where the server can.

        Args:
            path: Absolute and encoded.
            offset: How many bytes the caller has already.
            validator: The ETag of the file that those are of; of another file the server sends all.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: The file is missing or forbidden.
            ServerUnavailable: Waiting may help.
            ServerBroken: It answers with a redirect.
            WrongRange: It answers with another range.
        """
        headers = {**self._session.auth, "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator is not None:
                headers["If-Range"] = validator
        what = f"the download of {path[:200]}"
        limits = self._timeouts
        timeout = self._session.until(limits.stall_s, limits.download_s)
        head_s = limits.connect_s + limits.stall_s
        asked = HttpRequest("GET", path, headers, None, timeout, repeatable=True, head_s=head_s)
        async with self._transport.send(asked) as response:
            if response.status == 416 and offset:
                # What is there is as long as the file, or longer: its hash will tell.
                yield Download(offset, what, None, self._rate)
                return
            if response.status not in (200, 206):
                await raise_for(response, what, self._transport.proxy, self._transport.names)
            start = 0
            if response.status == 206:
                start = check_range(response.headers.get("Content-Range", ""), offset, what)
            validator = read_validator(response.headers.get("ETag"))
            yield Download(start, what, response, self._rate, validator, self._timeouts.stall_s, self._max_file_bytes)

    async def post_file(self, path: str, name: str, file: Path) -> Any:
        """POST a file; gives the JSON answer.

        Args:
            path: Where to send it.
            name: The name that the file gets.
            file: The file.

        Raises:
            NoAnswer: The connection died; the file may have been taken.
            ServerRefused: The server does not take it, or it changed while it was sent.
        """
        timeout = self._session.until(self._timeouts.total_s)
        return await self._session.patiently(
            lambda: post_file(self._transport, path, name, file, self._session.auth, timeout)
        )
