"""A relay in front of an HTTP server: counts what clients ask and get, holds requests back, and breaks answers off."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# The body before it may end in letters, so that nothing tells where a verb that is not known begins.
_REQUEST = re.compile(rb"((?:CALL|CREATE|DELETE|DESCRIBE|GET|HEAD|LIST|OPTIONS|POST|UPDATE) /\S*) HTTP/1\.1\r\n")
_LINE_BYTES = 64 * 1024
"""No request line is longer; a body may have no line for many megabytes."""


@dataclass(slots=True)
class Relay:
    """`asked`: the request lines so far, without the protocol; `received_bytes`: what the clients got.

    `held`: requests with this text in them are not passed on while `passes` is not set. `cut`: the answers to the next
    requests with this text break off after so many bytes, one for each number in `cuts`.
    """

    url: str
    asked: list[str] = field(default_factory=list)
    received_bytes: int = 0
    held: str | None = None
    passes: threading.Event = field(default_factory=threading.Event)
    cut: str | None = None
    cuts: list[int] = field(default_factory=list)
    _clients: list[socket.socket] = field(default_factory=list)
    _left: dict[socket.socket, int] = field(default_factory=dict)

    def until_asked(self, text: str, within_s: float = 60.0) -> None:
        """Wait until a request line has this text in it."""
        until = time.monotonic() + within_s
        while not any(text in line for line in self.asked):
            assert time.monotonic() < until, f"nobody asked for {text}"
            threading.Event().wait(0.02)

    def insert(self, data: bytes) -> None:
        """Send something to each client that is connected, wherever in its answers it is."""
        for client in self._clients:
            with suppress(OSError):
                client.sendall(data)

    def reset(self) -> None:
        """Count from here on."""
        self.asked.clear()
        self.received_bytes = 0

    def _forward(self, source: socket.socket, target: socket.socket, *, to_server: bool) -> None:
        unread = b""
        with suppress(OSError):
            while data := source.recv(65536):
                is_over = False
                if to_server:
                    unread += data
                    lines = [line.decode() for line in _REQUEST.findall(unread)]
                    # A request line may come in two parts.
                    unread = unread[unread.rfind(b"\n") + 1 :][-_LINE_BYTES:]
                    self.asked += lines
                    if self.held is not None and any(self.held in line for line in lines):
                        self.passes.wait()
                    if self.cut is not None and self.cuts and any(self.cut in line for line in lines):
                        self._left[target] = self.cuts.pop(0)
                else:
                    if source in self._left:
                        data = data[: self._left[source]]
                        self._left[source] -= len(data)
                        is_over = self._left[source] == 0
                    self.received_bytes += len(data)
                target.sendall(data)
                if is_over:
                    break
        _end(source, target)


def _end(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay_to(url: str) -> Iterator[Relay]:
    """Run a relay to a server on this host; in the end nobody listens there, and no connection is left."""
    port = urlsplit(url).port
    assert port is not None
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                relay._clients.append(client)
                try:
                    server = socket.create_connection(("127.0.0.1", port))
                except OSError:
                    _end(client)
                    continue
                for pair, to_server in (((client, server), True), ((server, client), False)):
                    threading.Thread(
                        target=relay._forward, args=pair, kwargs={"to_server": to_server}, daemon=True
                    ).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield relay
    finally:
        relay.passes.set()
        # A socket that is closed while a thread waits at it still accepts one connection.
        _end(listener)
        accepting.join()
        listener.close()
        _end(*relay._clients)
