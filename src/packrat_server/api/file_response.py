"""Sends a stored file, or a range of it, as it is read from the disk.

The length is announced before the bytes are read. Where the disk can't give all of them, the answer breaks off, so that
the client sees that it is not complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from packrat_core.aio.byte_range import Part, choose_part
from packrat_core.errors import DiskError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_server.store.blobs import Content

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Shown:
    """What the headers say of a stored file."""

    etag: str
    media_type: str
    content: Content

    def headers(self) -> Mapping[str, str]:
        """Give the headers of the whole file and of a part."""
        modified = formatdate(self.content.status.st_mtime, usegmt=True)
        return {"ETag": self.etag, "Accept-Ranges": "bytes", "Last-Modified": modified}


def answer_file(request: Request, path: Path, shown: Shown) -> Response:
    """Answer with a stored file.

    Args:
        request: The request.
        path: The file.
        shown: What is known of it.

    Returns:
        All of it, the range that is asked for, or 416 if that is beyond its end.
    """
    headers = shown.headers()
    if shown.content.data is not None:
        return Response(shown.content.data, media_type=shown.media_type, headers=headers)
    validators = (shown.etag, headers["Last-Modified"])
    size = shown.content.status.st_size
    asked, if_range = request.headers.get("range"), request.headers.get("if-range")
    part = choose_part(request.method, asked, if_range, validators, size)
    if part is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    return _StoredFile(path, part, {**headers, "Content-Type": shown.media_type})


class _StoredFile(Response):
    """The answer."""

    def __init__(self, path: Path, part: Part, headers: Mapping[str, str]) -> None:
        length = {"Content-Length": str(part.length)}
        more = {"Content-Range": part.content_range} if part.asked else {}
        super().__init__(None, 206 if part.asked else 200, {**headers, **length, **more})
        self._path = path
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that reads slowly holds up the reading.

        Raises:
            DiskError: The disk refuses the file, or it has fewer bytes than a moment ago.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        is_gone = scope["state"]["is_gone"]
        left = self._part.length
        file = await run_in_threadpool(_open, self._path, self._part.start)
        try:
            while left and not is_gone():
                chunk = await run_in_threadpool(_read, file, self._path, min(left, _CHUNK_BYTES))
                if not chunk:
                    raise DiskError(
                        f"{self._path} has become shorter while it was sent",
                        hint="see what writes to the data directory, and restore the file from a backup",
                    )
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        finally:
            await run_in_threadpool(file.close)


def _open(path: Path, start: int) -> BinaryIO:
    with as_disk_error("read", path):
        file = path.open("rb")
        file.seek(start)
        return file


def _read(file: BinaryIO, path: Path, count: int) -> bytes:
    with as_disk_error("read", path):
        return file.read(count)
