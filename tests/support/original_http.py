"""HTTP as the original server speaks it: one request a connection, bodies with Content-Length only."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JSON = "application/json;charset=utf-8"
HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, header names in lower case, and the monotonic second at which it came."""

    at: float
    verb: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        """`VERB target`."""
        return f"{self.verb} {self.target}"

    @property
    def arguments(self) -> dict[str, Any]:
        """The body, {} where it is not an object."""
        value = json.loads(self.body) if self.body else {}
        return value if isinstance(value, dict) else {}


async def read(reader: asyncio.StreamReader) -> Request:
    """Read one request; a chunked body is ignored."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    verb, target, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(time.monotonic(), verb, target, headers, body)


async def send(
    writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], data: bytes, *, cut: bool = False
) -> None:
    """Send an answer; `cut`: only half of its body."""
    lines = [f"HTTP/1.1 {status} SAID", "Connection: close", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    writer.write(data[: len(data) // 2] if cut else data)
    await writer.drain()


async def send_chunked(writer: asyncio.StreamWriter, data: bytes, *, cut: bool = False) -> None:
    """Send a file as the development server does, without length, ETag or Range."""
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = data[: len(data) // 2] if cut else data
    for at in range(0, len(sent), 65536):
        part = sent[at : at + 65536]
        writer.write(b"%X\r\n%s\r\n" % (len(part), part))
        await writer.drain()
    writer.write(b"" if cut else b"0\r\n\r\n")
    await writer.drain()
