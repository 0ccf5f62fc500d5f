"""Bounds how much a server may send before an answer begins, and tells which connections were used before.

It also ends an answer whose body is malformed, which aiohttp leaves open: who waits for more of it would wait for ever,
since no limit of time holds any more.
"""

from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from packrat_core.errors import ServerBroken

_BEFORE_ANSWER_BYTES = 2 * 1024 * 1024
"""The longest head that aiohttp takes (128 lines of 8,190 bytes), and answers of 1xx before it."""
IS_REUSED: ContextVar[bool] = ContextVar("IS_REUSED", default=False)
"""Set in the context of a task when its request takes a connection that had one before; the task clears it.

aiohttp's own tracing tells the same, and calls eight hooks for each request.
"""


class MalformedBody(aiohttp.ClientPayloadError):
    """What came of an answer after its head is not HTTP, such as a chunk without its length."""


class BoundedConnector(aiohttp.TCPConnector):
    """A connector whose connections end where too much comes before an answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = _BoundedHandler
        self._factory = partial(handler, loop=self._loop)


class _BoundedHandler(ResponseHandler):
    """Counts the bytes from a request to the head of its answer, and tells the body of what is malformed."""

    _before_answer = 0
    _has_begun = False
    _is_used = False

    def set_response_params(self, **options: Any) -> None:
        # The next request on this connection, which is not sent yet.
        if self._is_used:
            IS_REUSED.set(True)
        self._is_used = True
        self._before_answer, self._has_begun = 0, False
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if not self._has_begun:
            self._before_answer += len(data)
            if self._before_answer > _BEFORE_ANSWER_BYTES:
                size = f"{_BEFORE_ANSWER_BYTES // 1024**2} MiB"
                self.set_exception(
                    ServerBroken(
                        f"the server sent {size} and no answer",
                        hint="check what answers there: it is not a packrat server",
                    )
                )
                self.close()
                return
        super().data_received(data)
        body = self._payload
        # The body is of a request that waits; what is wrong behind its end concerns nobody.
        if body is not None and not body.is_eof() and isinstance(error := self.exception(), HttpProcessingError):
            body.set_exception(MalformedBody(str(error)))

    def feed_data(self, data: Any, size: int = 0) -> None:
        message, _ = data
        self._has_begun = self._has_begun or message.code >= 200 or message.code == 101
        super().feed_data(data, size)
