"""Sends many small package files in one answer, which costs far less than a request for each.

    {"looked_at": 3, "files": [["/api/v2/Package/PackageFile:7:", 1512], ["/api/v2/Package/PackageFile:9:", 840]]}\\n
    the 1512 bytes of the one, and the 840 bytes of the other

1. Files come in the order in which they were asked for. `looked_at` is how many of those the answer speaks of; the
   client asks again for the others.
2. A file that is larger than FILE_BYTES, can't be read, is gone, or is hidden from the caller is left out. The client
   asks for it alone, and then gets the reason.
3. Who calls, and which files that caller may see, is read for each answer, in one view of the database, as it is
   for the download of a single file.
4. The answer is read and sent in parts of at most FILE_BYTES, so that for a client who reads slowly the server holds no
   more than for the download of a single file. What is in memory is read in the event loop, as a small file is: most of
   the time would go into switching between threads. The rest is read in threads; `admission` bounds how many.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from packrat_core.errors import DiskError
from packrat_server.accounts.sessions import InvalidSession, read_caller
from packrat_server.accounts.visibility import visible_files
from packrat_server.api.call import Call
from packrat_server.api.description import uri
from packrat_server.api.messages import CinpError, CinpResponse
from packrat_server.api.permissions import may_call
from packrat_server.api.request_threads import run_to_end
from packrat_server.api.values import parse_id
from packrat_server.store.blobs import blob_in, find_size, read_whole
from packrat_server.store.database import reading
from packrat_server.store.tables import package_files

ASKED_LIMIT = 300
"""Files in one question."""
FILE_BYTES = 128 * 1024
"""A larger file is worth a request of its own."""
BUNDLE_BYTES = 4 * 1024 * 1024
"""Files in one answer; the last one may go beyond."""
MEDIA_TYPE = "application/octet-stream"
_MODEL = "Package/PackageFile"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is sent: its id, where it is stored, and its size."""

    id: str
    path: str
    size: int


async def bundle(call: Call) -> "Bundle":
    """Send those of some package files that are small.

    Raises:
        CinpError: Too many are asked for, or the caller may not ask any more.
    """
    asked: Sequence[str] = call.arguments["files"] or ()
    if len(asked) > ASKED_LIMIT:
        raise CinpError(400, {"files": f'Invalid Value "give up to {ASKED_LIMIT} files"'})
    async with call.context.admission.bundling():
        try:
            return await run_to_end(_prepare, call, asked)
        except InvalidSession:
            raise CinpError(401, "Invalid Session") from None


def _prepare(call: Call, asked: Sequence[str]) -> "Bundle":
    with reading(call.context.engine) as connection:
        sha256s = _find(connection, call, asked)
    files: list[Stored] = []
    top = str(call.context.data_dir)
    looked_at = size = 0
    for object_id in asked:
        if size >= BUNDLE_BYTES:
            break
        looked_at += 1
        # Each is sent once, however often it is asked for.
        sha256 = sha256s.pop(object_id, None)
        if sha256 is not None:
            path = blob_in(top, sha256)
            stored = find_size(path)
            if stored is not None and stored <= FILE_BYTES:
                files.append(Stored(object_id, path, stored))
                size += stored
    return Bundle(call, looked_at, files)


def _find(connection: Connection, call: Call, asked: Sequence[str]) -> dict[str, str]:
    """Find the SHA-256 of each file that the caller may see, by its id.

    Args:
        connection: One view of the database.
        call: The call.
        asked: Ids that the caller asks for.

    Raises:
        InvalidSession: The caller's session has ended since the request came.
        CinpError: The caller may not ask any more.
    """
    caller = call.caller
    if not caller.is_stranger:
        caller = read_caller(connection, caller.name, call.token)
    if not may_call(caller, "CALL", f"{_MODEL}(bundle)"):
        raise CinpError(403, "Not Authorized")
    numbers = {number for number in map(parse_id, asked) if number is not None}
    query = visible_files(caller).with_only_columns(package_files.c.id, package_files.c.sha256)
    rows = connection.execute(query.where(package_files.c.id.in_(numbers)))
    return {str(number): sha256 for number, sha256 in rows}


class Bundle(CinpResponse):
    """The answer; its length is known beforehand."""

    def __init__(self, call: Call, looked_at: int, files: Sequence[Stored]) -> None:
        """Prepare the answer.

        Args:
            call: The call.
            looked_at: How many of the files that were asked for it speaks of.
            files: Those that are sent.
        """
        listed = [[uri(_MODEL, file.id), file.size] for file in files]
        self._call = call
        self._files = files
        self._first = json.dumps({"looked_at": looked_at, "files": listed}).encode() + b"\n"
        length = len(self._first) + sum(file.size for file in files)
        headers = {"Verb": "CALL", "Cache-Control": "no-cache", "Multi-Object": "False"}
        super().__init__(None, 200, {**headers, "Content-Type": MEDIA_TYPE, "Content-Length": str(length)})
        # CinpResponse adds a Content-Length of its own, that of an empty body; it is the last header.
        del self.raw_headers[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; a client that reads slowly holds up the reading.

        Raises:
            DiskError: A file can't be sent as announced; the client must see the connection break off.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        part = self._first
        for files in _portions(self._files):
            # Other requests come between two parts.
            await asyncio.sleep(0)
            # A network disk may wait for the other machine even where it has the file in memory.
            content = None if self._call.context.is_on_network else _read_now(files)
            if content is None:
                async with self._call.context.admission.bundling():
                    content = await run_to_end(_read, files)
            await send({"type": "http.response.body", "body": part + content, "more_body": True})
            part = b""
        await send({"type": "http.response.body", "body": part})


def _portions(files: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
    start = size = 0
    for at, file in enumerate(files):
        if size + file.size > FILE_BYTES:
            yield files[start:at]
            start, size = at, 0
        size += file.size
    if files:
        yield files[start:]


def _read_now(files: Sequence[Stored]) -> bytes | None:
    """Read files; None where one is not in memory, or can't be read."""
    contents = []
    for file in files:
        content = read_whole(file.path, file.size, waits=False)
        if content is None:
            return None
        contents.append(content)
    return b"".join(contents)


def _read(files: Sequence[Stored]) -> bytes:
    """Read files.

    Raises:
        DiskError: One has changed since its size was read, or can't be read.
    """
    contents = []
    for file in files:
        content = read_whole(file.path, file.size)
        if content is None:
            hint = "see what happens to the data directory and its disk, and restore the file from a backup"
            raise DiskError(f"{file.path} has changed, or can't be read, while it is sent", hint=hint)
        contents.append(content)
    return b"".join(contents)
