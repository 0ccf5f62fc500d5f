"""Serves a directory over HTTP, for a small site or to try things out: files with Range, ETag and Last-Modified, and
directory listings.

Source: RFC 9110 (conditional and range requests).
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

import structlog
from aiohttp import web

from packrat_agent.formats.docker.serving import READ_ONLY
from packrat_agent.formats.interface import IMMUTABLE
from packrat_agent.formats.json.serving import uploaded_headers
from packrat_agent.formats.uploaded import UPLOADED_HEADERS
from packrat_agent.web.caching import ASK_AGAIN, choose_caching
from packrat_agent.web.directory_page import HEADERS, write_listing
from packrat_agent.web.missing import is_missing
from packrat_agent.web.negotiate import TYPES, choose_index
from packrat_agent.web.registry import answer_registry, is_registry_path
from packrat_core.aio.byte_range import Part, choose_part
from packrat_core.aio.connection_bounds import connection_limit
from packrat_core.aio.serve_http import serving_http
from packrat_core.errors import ConfigError, DiskError
from packrat_core.fs.disk_errors import as_disk_error, explain_os_error
from packrat_core.fs.file_times import mtime_s
from packrat_core.fs.links import open_directory
from packrat_core.fs.open import open_descriptor
from packrat_core.listen import show_url

log = structlog.get_logger()

CONNECTIONS_LIMIT = 1024
LISTED_LIMIT = 10_000
"""Names in a listing: anyone who may write to a directory can make millions of them."""
_LISTINGS_AT_ONCE = 2
"""Few, since a large one takes a thread for a while, and others have files to send."""
_CHUNK_BYTES = 256 * 1024
_TYPES = {
    "asc": "application/pgp-signature",
    "css": "text/css; charset=utf-8",
    "deb": "application/vnd.debian.binary-package",
    "gpg": "application/pgp-keys",
    "gz": "application/gzip",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "rpm": "application/x-rpm",
    "txt": "text/plain; charset=utf-8",
    "whl": "application/zip",
    "xml": "application/xml",
    "xz": "application/x-xz",
    "zip": "application/zip",
    "zst": "application/zstd",
    **TYPES,
}
_NAMED = {
    "InRelease": "text/plain; charset=utf-8",
    "Packages": "text/plain; charset=utf-8",
    "Release": "text/plain; charset=utf-8",
    "Release.gpg": "application/pgp-signature",
    "repo-key": "application/pgp-keys",
}


_ASK_AGAIN = {"Cache-Control": ASK_AGAIN}
_LISTING = {**_ASK_AGAIN, **HEADERS}


async def serve_until(root: Path, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Args:
        root: The directory.
        host: The address to listen on.
        port: The port; 0 for any free one.
        stop: Set to end it.

    Raises:
        ConfigError: root is not a directory, or the address can't be listened on.
    """
    async with serving(root, host, port) as bound:
        log.info("serving", url=f"{show_url(host, bound)}/", root=str(root))
        await stop.wait()


@asynccontextmanager
async def serving(root: Path, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context lasts; returns the port, which is any free one for port 0.

    Args:
        root: The directory.
        host: The address to listen on.
        port: The port; 0 for any free one.

    Raises:
        ConfigError: root is not a directory, or the address can't be listened on.
    """
    with as_disk_error("serve", root):
        is_directory = root.is_dir()
    if not is_directory:
        raise ConfigError(f"{root} is not a directory", hint="`packrat-agent sync` makes and fills root_dir")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", _Files(root.resolve()).answer)
    async with serving_http(application, host, port, "--listen", connection_limit(CONNECTIONS_LIMIT)) as bound:
        yield bound


class _Files:
    """Answers requests from below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listing = asyncio.Semaphore(_LISTINGS_AT_ONCE)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Raises:
            HTTPException: The client may not have what it asks for, it is not there, or the system does not give it.
        """
        if request.method not in ("GET", "HEAD"):
            if is_registry_path(request.raw_path):
                headers = {"Allow": "GET,HEAD", "Content-Type": "application/json"}
                return web.Response(status=405, body=READ_ONLY, headers=headers)
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD"))
        try:
            return await self._answer(request)
        except PermissionError:
            raise web.HTTPForbidden from None
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            if is_missing(error):
                # It was there a moment ago, or somebody has put something else in its way.
                raise web.HTTPNotFound from None
            # For a while only, perhaps: a client that is told 404 takes the file for gone.
            log.warning("unanswered", path=request.path, reason=str(explain_os_error(error) or error))
            raise web.HTTPServiceUnavailable from None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = request.raw_path.partition("?")[0]
        if is_registry_path(raw):
            answer = await asyncio.to_thread(answer_registry, self._root, raw)
            if answer.path is not None:
                return await self._send(request, answer.path, {**await self._caching(raw), **answer.headers})
            # No cache remembers what is missing.
            caching = _ASK_AGAIN if answer.status == 200 else {}
            return web.Response(status=answer.status, body=answer.body, headers={**caching, **answer.headers})
        path = await asyncio.to_thread(self._find, raw)
        if path is None:
            raise web.HTTPNotFound
        if path.is_dir():
            if not raw.endswith("/"):
                # A first segment with a colon would be read as a scheme.
                raise web.HTTPMovedPermanently(f"./{raw.rpartition('/')[2]}/", headers=_ASK_AGAIN)
            index = await asyncio.to_thread(self._choose_index, path, request.headers.get("Accept", ""))
            if index is None:
                async with self._listing:
                    listing = await asyncio.to_thread(self._list, path, raw)
                return web.Response(text=listing, content_type="text/html", charset="utf-8", headers=_LISTING)
            uploaded = await asyncio.to_thread(uploaded_headers, self._root, index[0])
            return await self._send(request, index[0], {**_ASK_AGAIN, **index[1], **uploaded})
        if raw.endswith("/"):
            raise web.HTTPNotFound
        lasting = await self._caching(raw)
        # As the site files have it: with packages too, whose names may end as those of pages.
        is_package = lasting["Cache-Control"] == IMMUTABLE
        uploaded = UPLOADED_HEADERS if is_package else await asyncio.to_thread(uploaded_headers, self._root, path)
        return await self._send(request, path, {**lasting, **uploaded})

    async def _caching(self, raw: str) -> Mapping[str, str]:
        return {"Cache-Control": await asyncio.to_thread(choose_caching, self._root, raw)}

    def _find(self, raw: str) -> Path | None:
        """Find the file or directory that a path names; None if it is hidden, outside the root or not valid."""
        parts = []
        for segment in raw.strip("/").split("/"):
            try:
                part = unquote_to_bytes(segment).decode("utf-8")
            except UnicodeDecodeError:
                return None
            if part.startswith(".") or "/" in part or "\0" in part:
                return None
            parts.append(part)
        return self._inside(self._root.joinpath(*parts))

    def _inside(self, path: Path) -> Path | None:
        """Follow links to a file or directory; None if that is outside the root or hidden, or if there is none."""
        try:
            target = path.resolve(strict=True)
        except RuntimeError:
            return None
        except OSError as error:
            if is_missing(error):
                return None
            raise
        if not target.is_relative_to(self._root):
            return None
        hidden = any(part.startswith(".") for part in target.relative_to(self._root).parts)
        return None if hidden or not (target.is_dir() or target.is_file()) else target

    def _choose_index(self, directory: Path, accept: str) -> tuple[Path, Mapping[str, str]] | None:
        chosen = choose_index(directory, accept)
        page = self._inside(chosen[0]) if chosen is not None else None
        return None if chosen is None or page is None or page.is_dir() else (page, chosen[1])

    def _list(self, directory: Path, raw: str) -> str:
        with os.scandir(directory) as entries:
            # Others can't be shown, and those that are not UTF-8 have no address.
            shown = [entry for entry in entries if not entry.name.startswith(".") and entry.name.isprintable()]
        shown.sort(key=lambda entry: (not _is_directory(entry), entry.name))
        listed = ((entry.name, self._look(directory, entry)) for entry in shown[:LISTED_LIMIT])
        known = ((name, status) for name, status in listed if status is not None)
        return write_listing(known, raw, max(0, len(shown) - LISTED_LIMIT))

    def _look(self, directory: Path, entry: os.DirEntry[str]) -> os.stat_result | None:
        """Look at what a name of a directory leads to; None if nobody may see that."""
        try:
            if entry.is_symlink():
                target = self._inside(directory / entry.name)
                return None if target is None else target.stat()
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        return status if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode) else None

    def _open(self, path: Path) -> BinaryIO:
        """Open a file that was found; what somebody has put in its way since is not followed."""
        where = os.fspath(path.parent.relative_to(self._root))
        with open_directory(self._root, where, crosses_mounts=True, lists=False) as directory:
            descriptor, _ = open_descriptor(path.name, directory)
        return os.fdopen(descriptor, "rb")

    async def _send(self, request: web.Request, path: Path, more_headers: Mapping[str, str]) -> web.StreamResponse:
        with await asyncio.to_thread(self._open, path) as file:
            status = os.fstat(file.fileno())
            headers = {**_headers(path, status), **more_headers}
            if _unchanged(request, headers["ETag"], status):
                return web.Response(status=304, headers=headers)
            asked, if_range = request.headers.get("Range"), request.headers.get("If-Range")
            part = choose_part(request.method, asked, if_range, tuple(_validators(headers).values()), status.st_size)
            if part is None:
                # apt, which may have all of it, takes over the date; without one, it dates its file by its own clock.
                complete = {"Content-Range": f"bytes */{status.st_size}", **_validators(headers)}
                return web.Response(status=416, headers=complete)
            response = web.StreamResponse(status=206 if part.asked else 200, headers=headers)
            if part.asked:
                response.headers["Content-Range"] = part.content_range
            response.content_length = part.length
            await response.prepare(request)
            if request.method == "GET":
                with suppress(ConnectionError):
                    try:
                        await _copy(file, path, part, response)
                    except DiskError as error:
                        # In place of the bytes that are missing, the client would take the next answer.
                        response.force_close()
                        log.warning("broken-off", path=request.path, reason=str(error))
            return response


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


async def _copy(file: BinaryIO, path: Path, part: Part, response: web.StreamResponse) -> None:
    """Send a part of a file.

    Args:
        file: The open file.
        path: Where it was found.
        part: What to send of it.
        response: The answer, which has begun.

    Raises:
        DiskError: The file can't be read, or has become shorter.
    """
    file.seek(part.start)
    left = part.length
    while left:
        with as_disk_error("read", path):
            chunk = await asyncio.to_thread(file.read, min(left, _CHUNK_BYTES))
        if not chunk:
            raise DiskError(f"{path} has become shorter while it was sent", hint="see who writes to it")
        left -= len(chunk)
        await response.write(chunk)


def _headers(path: Path, status: os.stat_result) -> dict[str, str]:
    ending = path.name.rpartition(".")[2]
    return {
        "Content-Type": _NAMED.get(path.name) or _TYPES.get(ending, "application/octet-stream"),
        "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"',
        "Last-Modified": format_datetime(datetime.fromtimestamp(mtime_s(status), UTC), usegmt=True),
        "Accept-Ranges": "bytes",
    }


def _validators(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("ETag", "Last-Modified")}


def _unchanged(request: web.Request, etag: str, status: os.stat_result) -> bool:
    # If-Modified-Since has whole seconds, so it counts only where the client sends no ETag.
    tags = request.headers.get("If-None-Match")
    if tags is not None:
        return tags.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
    since = _moment(request.headers.get("If-Modified-Since"))
    return since is not None and mtime_s(status) <= since.timestamp()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None
