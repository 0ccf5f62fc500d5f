"""A small HTTP proxy: forwards requests in absolute form, opens tunnels for CONNECT, wants a password or not."""

import asyncio
import base64
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from support.ports import hold_port


class Proxy:
    """The proxy; `heads` are the heads of the requests that it could read."""

    def __init__(self, password: str | None) -> None:
        self.heads: list[str] = []
        self.silent = False
        """Requests are read and never answered."""
        self._holder = hold_port()
        self.port = int(self._holder.getsockname()[1])
        self._wanted = None if password is None else "Basic " + base64.b64encode(password.encode()).decode()
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        """Without a password in it; the port stays the same when it is started again."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)

    def die(self) -> None:
        """Close the port and every connection."""
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result(60)

    async def _start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _die(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            if self.silent:
                await reader.read()
                return
            if self._wanted is not None and f"\r\nProxy-Authorization: {self._wanted}\r\n" not in head:
                writer.write(b"HTTP/1.1 407 Password\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            await self._forward(head, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            with suppress(OSError):
                writer.close()

    async def _forward(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, target, _ = head.split("\r\n", 1)[0].split(" ")
        parts = urlsplit(f"//{target}" if verb == "CONNECT" else target)
        assert parts.hostname is not None
        upstream_reader, upstream = await asyncio.open_connection(parts.hostname, parts.port or 80)
        self._open.add(upstream)
        try:
            if verb == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                first, _, rest = head.partition("\r\n")
                kept = [line for line in rest.split("\r\n") if not line.lower().startswith("proxy-")]
                upstream.write("\r\n".join([first.replace(f"http://{parts.netloc}", "", 1), *kept]).encode("latin-1"))
            await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
        finally:
            self._open.discard(upstream)
            upstream.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with suppress(OSError, NotImplementedError):
        # A tunnel's end is told on; the answer to a plain request ends the connection.
        if writer.can_write_eof():
            writer.write_eof()


@contextmanager
def running_proxy(password: str | None = None) -> Iterator[Proxy]:
    """Run one while the context lasts; password: `USER:PASSWORD` that it wants."""
    proxy = Proxy(password)
    thread = threading.Thread(target=proxy._loop.run_forever, name="proxy", daemon=True)
    thread.start()
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.die()
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(60)
        proxy._loop.close()
        proxy._holder.close()


class ForgetfulProxy:
    """Keeps a connection open after an answer, and closes it without a word when the next request comes.

    It forwards requests in absolute form, and others to `upstream`. `dropped`: verbs of requests that came on a
    connection which had carried an answer. reset: closes with a reset. lose_request, lose_answer: a part of
    `VERB target`; the next such request is not forwarded, or its answer is not passed on. `heads`: what was forwarded.
    """

    def __init__(self, upstream: str) -> None:
        self.dropped: list[str] = []
        self.heads: list[str] = []
        self.reset = False
        self.lose_request: str | None = None
        self.lose_answer: str | None = None
        self.port = 0
        self._upstream = urlsplit(upstream).netloc
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._forward(reader, writer)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.dropped.append(head.split(" ")[0])
            if self.reset:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1]) if length else 0)
        first, _, rest = head.partition("\r\n")
        verb, target, version = first.split(" ")
        if self.lose_request is not None and self.lose_request in f"{verb} {target}":
            self.lose_request = None
            raise ConnectionError
        parts = urlsplit(target)
        host, _, port = (parts.netloc or self._upstream).rpartition(":")
        self.heads.append(head)
        kept = [line for line in rest.split("\r\n") if not re.match(r"proxy-|connection:", line, re.IGNORECASE)]
        upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        path = target.removeprefix(f"http://{parts.netloc}") if parts.netloc else target
        upstream.write("\r\n".join([f"{verb} {path} {version}", "Connection: close", *kept]).encode("latin-1") + body)
        answer = await upstream_reader.read()
        upstream.close()
        if self.lose_answer is not None and self.lose_answer in f"{verb} {target}":
            self.lose_answer = None
            raise ConnectionError
        above, _, below = answer.partition(b"\r\n\r\n")
        writer.write(re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", above) + b"\r\n\r\n" + below)
        await writer.drain()
        whole = re.search(rb"(?i)\r\ncontent-length: *(\d+)", above)
        if whole is not None and len(below) < int(whole[1]):
            raise ConnectionError


@contextmanager
def forgetful_proxy(upstream: str) -> Iterator[ForgetfulProxy]:
    """Run one while the context lasts."""
    proxy = ForgetfulProxy(upstream)
    thread = threading.Thread(target=proxy._loop.run_forever, name="forgetful-proxy", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(proxy.start(), proxy._loop).result(60)
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(60)
        for task in asyncio.all_tasks(proxy._loop):
            task.cancel()
        proxy._loop.run_until_complete(asyncio.sleep(0))
        if proxy._listener is not None:
            proxy._listener.close()
        proxy._loop.close()
