"""Answers a LIST of very many objects, and writes its text while it is sent, so that memory never holds all of it."""

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence

from starlette.types import Receive, Scope, Send

from packrat_server.api.messages import CinpResponse

_ENTRIES_AT_ONCE = 2000


class ListResponse(CinpResponse):
    """A JSON list in portions; its length is known beforehand, since older clients don't read chunks."""

    def __init__(self, ids: Sequence[object], before: str, after: str, headers: Mapping[str, str]) -> None:
        """Prepare the answer.

        Args:
            ids: The ids of the objects, at least one; an array holds numbers.
            before: What stands before each id as it is listed.
            after: What stands behind it.
            headers: The headers of the answer.
        """
        self._ids = ids
        self._before, self._after = _escape(before), _escape(after)
        length = sum(len(portion) for portion in self._portions())
        super().__init__(None, 200, {**headers, "Content-Length": str(length)})
        # CinpResponse adds a Content-Length of its own, that of an empty body; it is the last header.
        del self.raw_headers[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; a client that reads slowly holds up the writing."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for portion in self._portions():
            await send({"type": "http.response.body", "body": portion, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _portions(self) -> Iterator[bytes]:
        # Numbers need no escapes.
        write = str if isinstance(self._ids, array) else _escape
        between = f'{self._after}", "{self._before}'
        for start in range(0, len(self._ids), _ENTRIES_AT_ONCE):
            entries = between.join(map(write, self._ids[start : start + _ENTRIES_AT_ONCE]))
            # The portions make one list, so the separator between two entries also goes between two portions.
            yield f'{", " if start else "["}"{self._before}{entries}{self._after}"'.encode()
        yield b"]"


def _escape(value: object) -> str:
    """Write a value as it stands between the quotation marks of a JSON text."""
    return json.dumps(str(value))[1:-1]
