"""A network without sockets: aiohttp's client reads what a test says, in this process, as fast as it can."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from packrat_core.cinp import transport
from packrat_core.cinp.bounded_head import BoundedConnector

Answerer = Callable[[str, str], bytes]
"""(verb, target) → the bytes that come back, before the connection ends."""


class _Transport(asyncio.Transport):
    """Answers the first bytes that are written."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: ResponseHandler, answer: Answerer) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._answer = answer
        self._asked = False
        self._closed = False

    def write(self, data: Any) -> None:
        if not self._asked:
            self._asked = True
            verb, target, _ = bytes(data).decode("latin-1").split(" ", 2)
            self._loop.call_soon(self._say, self._answer(verb, target))

    def _say(self, raw: bytes) -> None:
        if not self._closed:
            self._protocol.data_received(raw)
            self._loop.call_soon(self.close)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._protocol.eof_received()
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """There is no more to come."""

    def resume_reading(self) -> None:
        """There is no more to come."""


def connect_to(answer: Answerer, patch: pytest.MonkeyPatch) -> None:
    """Have every new client of this process talk to `answer`."""

    class Wire(BoundedConnector):
        async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
            loop = asyncio.get_running_loop()
            protocol = self._factory()
            protocol.connection_made(_Transport(loop, protocol, answer))
            return protocol

    patch.setattr(transport, "BoundedConnector", Wire)
