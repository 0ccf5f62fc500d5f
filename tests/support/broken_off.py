"""A client that asks for a file twice in a row, and reads while the file becomes shorter on the server."""

import os
import socket
from pathlib import Path


def read_shortened(host: str, port: int, asked: bytes, file: Path) -> int:
    """Ask twice, empty the file once the first answer begins, and give how many bytes come until the connection ends.

    Args:
        host: Where the server listens.
        port: The same.
        asked: The request.
        file: What it asks for.
    """
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        connection.settimeout(30)
        connection.connect((host, port))
        # In place of the bytes that are missing, the client must not take the next answer.
        connection.sendall(asked * 2)
        assert connection.recv(1024).startswith(b"HTTP/1.1 20")
        os.truncate(file, 0)
        count = 0
        while part := connection.recv(1024**2):
            count += len(part)
            assert b"HTTP/1.1 " not in part
    return count
