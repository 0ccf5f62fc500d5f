"""What a client sends behind a request whose answer is under way waits in the client's own buffers."""

import os
import selectors
import socket
from pathlib import Path
from urllib.parse import urlsplit

from support.world import world

SIZE = 64 * 1024**2
NEXT = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UNREAD_LIMIT = 16 * 1024**2
"""More than the system takes of what nobody reads, and less than the answer has."""


def test_requests_behind_a_download_do_not_fill_the_memory(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        (path,) = (server.data / "files").glob("*/*")
        os.truncate(path, SIZE)
        at = urlsplit(server.url)
        auth = "".join(f"{name}: {value}\r\n" for name, value in server.auth("root").items())
        with socket.create_connection((at.hostname, at.port), timeout=30) as connection:
            connection.sendall(f"GET /files/conf_1.0.json HTTP/1.1\r\nHost: x\r\n{auth}\r\n".encode())
            received = len(connection.recv(1024))
            sent = _send_while_it_comes(connection, received)
    assert sent < UNREAD_LIMIT


def _send_while_it_comes(connection: socket.socket, received: int) -> int:
    """Read the answer, and send further requests as they are taken meanwhile; gives how many bytes these had."""
    sent, more = 0, memoryview(NEXT * 50_000)
    connection.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while received < SIZE:
            ((_, events),) = selector.select(30)
            if events & selectors.EVENT_WRITE:
                sent += connection.send(more[sent % len(NEXT) :])
            if events & selectors.EVENT_READ:
                received += len(connection.recv(256 * 1024))
    return sent
