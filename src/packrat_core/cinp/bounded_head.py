"""Bounds how much a server may send before an answer begins, such as answers of 1xx without an end."""

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from packrat_core.errors import ServerBroken

_BEFORE_ANSWER_BYTES = 2 * 1024 * 1024
"""The longest head that aiohttp takes (128 lines of 8,190 bytes), and answers of 1xx before it."""


class BoundedConnector(aiohttp.TCPConnector):
    """A connector whose connections end where too much comes before an answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = _BoundedHandler
        self._factory = partial(handler, loop=self._loop)


class _BoundedHandler(ResponseHandler):
    """Counts the bytes from a request to the head of its answer."""

    _before_answer = 0
    _has_begun = False

    def set_response_params(self, **options: Any) -> None:
        # The next request on this connection.
        self._before_answer, self._has_begun = 0, False
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if not self._has_begun:
            self._before_answer += len(data)
            if self._before_answer > _BEFORE_ANSWER_BYTES:
                size = f"{_BEFORE_ANSWER_BYTES // 1024**2} MiB"
                self.set_exception(
                    ServerBroken(
                        f"the server sent {size} and no answer", hint="look what answers there: it is no packrat server"
                    )
                )
                self.close()
                return
        super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        message, _ = data
        self._has_begun = self._has_begun or message.code >= 200 or message.code == 101
        super().feed_data(data, size)
