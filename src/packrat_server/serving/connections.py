"""Keeps connections within limits of time and number, so that slow or many clients keep nobody else out.

1. The head of a request must arrive within HEAD_S. From BODY_GRACE_S on, BODY_BYTES_PER_S of a body must have arrived
   on average. Time in which the server itself does not read does not count.
2. Between two requests a connection may stay open for STRANGER_IDLE_S, or KNOWN_IDLE_S once a request had a session.
3. What follows an answer that did not wait for the body is dropped, for DROP_S at most, and of strangers DROP_BYTES.
   This holds also where the connection is to be closed after the answer, as nginx asks for: a close at once would
   destroy the answer before the client has read it, since the client still sends.
4. An answer of which the client reads nothing for STALLED_S is given up.
5. As many connections are open as there are descriptors for. The next one takes the place of another one that waits for
   its client: of strangers if there are any, of the address that has the most, the oldest. A request that is being
   answered is not ended for that.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from packrat_core.aio.addresses import name_network
from packrat_core.aio.connection_bounds import Unread, find_crowd
from packrat_core.aio.malformed import log_malformed
from packrat_core.aio.open_connections import OpenConnections
from packrat_server.api.addresses import Peer, TrustedProxies

HEAD_S = 10.0
BODY_GRACE_S = 10.0
BODY_BYTES_PER_S = 1024
STRANGER_IDLE_S = 15.0
KNOWN_IDLE_S = 75.0
DROP_S = 30.0
DROP_BYTES = 16 * 1024 * 1024
STALLED_S = 60.0

CONNECTIONS_LIMIT = 4096
_REPLACED_PART = 16
_SERIOUS = logging.getLogger("uvicorn.error.serious")
"""What uvicorn warns of are malformed requests, which are logged here, and upgrades to WebSocket, which do no harm."""
_SERIOUS.setLevel(logging.ERROR)


class Phase(StrEnum):
    """The phase of a connection: what it waits for."""

    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    DROP = "drop"
    IDLE = "idle"


class ServerConnections(OpenConnections["LimitedConnection"]):
    """All connections of one server process."""

    def __init__(self, limit: int, trusted_proxies: TrustedProxies) -> None:
        super().__init__(limit)
        self._trusted_proxies = trusted_proxies

    def protocol(self) -> Callable[..., asyncio.Protocol]:
        """Return the factory by which uvicorn makes the protocol of a connection."""
        return functools.partial(LimitedConnection, self)

    def identify(self, host: str) -> Peer:
        """Tell who is at the other end; a trusted proxy speaks for many, so it counts as known."""
        return Peer(host, is_known=self._trusted_proxies.has(host))

    def _find_replaceable(self, newest: "LimitedConnection") -> "list[LimitedConnection]":
        """Find the connections that are to make room: of the address with the most, the oldest."""
        # The newest one is about to be served.
        waiting = [
            connection for connection in self._open if connection.phase() != Phase.ANSWER and connection is not newest
        ]
        strangers = [connection for connection in waiting if not connection.peer.is_known]
        crowd = find_crowd(strangers or waiting, lambda connection: name_network(connection.peer.host)) or [newest]
        # In a flood of strangers, several at once: looking at all connections for each new one would take too long.
        return crowd[: max(1, self._limit // _REPLACED_PART) if strangers else 1]


class LimitedConnection(H11Protocol):
    """One connection, which must keep to the limits."""

    def __init__(self, connections: ServerConnections, config: uvicorn.Config, *args: Any, **more: Any) -> None:
        super().__init__(config, *args, **more)
        self.logger = _SERIOUS
        self._connections = connections
        self._loaded_app = self.app
        self.app = self._run
        self.peer = Peer("")
        self._counted: tuple[Phase, Any] = (Phase.HEAD, None)
        self._counted_s = 0.0
        self._received = 0
        self._unread = Unread()
        self._drops_all = False

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        # By the end of an answer, the connection may be at the next one.
        cycle = self.cycle
        cycle.transport = _ClosedAfterRequest(self)  # type: ignore[assignment] # has what is called of it
        scope["state"]["peer"] = self.peer
        scope["state"]["write_part"] = self.write_part
        scope["state"]["break_off"] = functools.partial(self._break_off, cycle)
        # Asking for the next message would tell, too, and read on each time what the client sends behind its request.
        scope["state"]["is_gone"] = lambda: cycle.disconnected
        await self._loaded_app(scope, receive, send)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # narrower
        """Begin."""
        super().connection_made(transport)
        self.peer = self._connections.identify(self.client[0] if self.client is not None else "")
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read."""
        self._received += len(data)
        if not self._drops_all:
            super().data_received(data)
        if self.phase() is Phase.DROP and self._received > DROP_BYTES and not self.peer.is_known:
            self.end()

    def close_after_request(self) -> None:
        """Close the connection; a client that still sends its request can read a whole answer until it is done."""
        is_answered = self.cycle.response_complete and self.conn.our_state is not h11.ERROR
        if is_answered and self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._drops_all = True
            self.transport.write_eof()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        log_malformed(self.peer.host or None)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
            if self.cycle is not None:
                # The request that is under way has its answer, and gets no other one.
                self.cycle.disconnected = True
        else:
            # An answer has begun or ended already, and h11 takes no second one.
            self.end()

    def write_part(self, part: bytes) -> bool:
        """Write a part of an answer that has begun, without waiting and without a task.

        Args:
            part: The part, in chunked transfer coding.

        Returns:
            False where the client has not read what was sent before, or is gone; then nothing is written.
        """
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(part)
        return True

    def _break_off(self, cycle: RequestResponseCycle) -> None:
        """Close the connection behind an answer that can't be completed, so that the client sees that it is torn."""
        if not cycle.response_complete:
            # uvicorn would log a second time that the answer is not complete, in words of its own.
            cycle.disconnected = True
            self.transport.close()

    def end(self) -> None:
        """Close the connection at once, whatever is under way."""
        self.transport.abort()

    def phase(self) -> Phase:
        """Tell what the connection waits for."""
        if self.cycle is None:
            return Phase.HEAD
        if not self.cycle.response_complete:
            return Phase.BODY if self.cycle.more_body else Phase.ANSWER
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.DROP
        return Phase.HEAD if self.conn.trailing_data[0] else Phase.IDLE

    def count(self, passed_s: float) -> None:
        """Count time that has passed, and end the connection if it has waited for too long."""
        phase = self.phase()
        if (phase, self.cycle) != self._counted:
            self._counted = (phase, self.cycle)
            self._counted_s, self._received = 0.0, 0
        elif not self._is_held_up_by_server(phase):
            self._counted_s += passed_s
        if self._is_overdue(phase) or self._unread.count(self.transport, passed_s) >= STALLED_S:
            self.end()

    def _is_held_up_by_server(self, phase: Phase) -> bool:
        """Whether the client waits for the server to read on."""
        return phase is Phase.BODY and (self.flow.read_paused or self.cycle.waiting_for_100_continue)

    def _is_overdue(self, phase: Phase) -> bool:
        match phase:
            case Phase.HEAD:
                return self._counted_s >= HEAD_S
            case Phase.BODY:
                return self._received < (self._counted_s - BODY_GRACE_S) * BODY_BYTES_PER_S
            case Phase.DROP:
                return self._counted_s >= DROP_S
            case Phase.IDLE:
                return self._counted_s >= (KNOWN_IDLE_S if self.peer.is_known else STRANGER_IDLE_S)
            case _:
                return False


class _ClosedAfterRequest:
    """The transport of one answer, which uvicorn closes at the end of the answer."""

    def __init__(self, connection: LimitedConnection) -> None:
        self._transport = connection.transport
        self.close = connection.close_after_request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
