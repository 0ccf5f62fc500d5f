"""Sends a file as the body of a request, unless somebody writes to it meanwhile.

A body that is shorter than announced would keep the server waiting for the rest, and one that is partly old and partly
new would be taken for the file. So the last part is held back until the file is known to be as it was at the beginning.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from packrat_core.cinp.limits import RECORDS
from packrat_core.cinp.responses import raise_for, read_answer
from packrat_core.cinp.transport import HttpRequest, Transport
from packrat_core.errors import ServerRefused, ServerUnavailable

_PART_BYTES = 256 * 1024


async def post_file(
    transport: Transport, path: str, name: str, file: Path, auth: Mapping[str, str], timeout: aiohttp.ClientTimeout
) -> Any:
    """POST a file; gives the JSON answer.

    Args:
        transport: The connections to the server.
        path: Where to send it.
        name: The name that the file gets.
        file: The file.
        auth: The headers of the login.
        timeout: The limits of time.

    Raises:
        NoAnswer: The connection died; the file may have been taken.
        ServerRefused: The server does not take it, or it changed while it was sent.
        OSError: It can't be read.
    """
    what = f"the upload of {name}"
    with file.open("rb") as opened:
        body = _Body(opened)
        headers = {
            **auth,
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'inline; filename="{name}"',
            "Content-Length": str(body.size),
        }
        asked = HttpRequest("POST", path, headers, body.parts(), timeout, repeatable=False)
        try:
            async with transport.send(asked) as response:
                if response.status >= 300:
                    await raise_for(response, what, transport.proxy, transport.names)
                return (await read_answer(response, what, RECORDS)).value
        except ServerUnavailable:
            if body.failure is not None:
                raise body.failure from None
            raise


class _Body:
    """An open file, and what keeps it from being sent as it was at the beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._before = self._look()
        self.size = self._before[0]
        self.failure: ServerRefused | OSError | None = None

    async def parts(self) -> AsyncIterator[bytes]:
        """Read it.

        Raises:
            ConnectionAbortedError: It has changed, so the request can't be completed.
            OSError: It can't be read.
        """
        left = self.size
        while left:
            try:
                part = await asyncio.to_thread(self._file.read, min(left, _PART_BYTES))
            except OSError as error:
                # Out of here, it would be taken for an error of the connection.
                self.failure = error
                raise
            left -= len(part)
            if not part or (not left and self._look() != self._before):
                self.failure = ServerRefused(
                    "it changed while it was sent; upload it again once nothing writes to it any more"
                )
                raise ConnectionAbortedError("the file has changed")
            yield part

    def _look(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns
