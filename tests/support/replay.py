"""An HTTP server that answers with the very bytes that a test gives it, recorded or made up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIRE = Path(__file__).parents[1] / "server" / "wire"


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sent; header names in lower case."""

    verb: str
    target: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Recorded:
    """One answer of an original server, with what it was asked."""

    name: str
    verb: str
    target: str
    status: int
    value: Any
    multi: bool
    raw: bytes


Answerer = Callable[[Request], bytes]


@asynccontextmanager
async def replaying(answer: Answerer) -> AsyncIterator[str]:
    """Answer each request as told and close the connection, as the original server does; gives the origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(answer(await _read(reader)))
            await writer.drain()
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.rstrip("\r\n").split("\r\n")
    verb, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(verb, target, headers, json.loads(body) if body else None)


def answer_of(
    value: Any = None, status: int = 200, *, raw: bytes | None = None, cinp: str | None = "0.9", **headers: str | int
) -> bytes:
    """Make an answer: JSON of `value`, or `raw`, or nothing; `_` in a header's name stands for `-`."""
    body = raw if raw is not None else b"" if value is None else json.dumps(value).encode()
    fields: dict[str, str | int] = {"Connection": "close", "Content-Type": "application/json;charset=utf-8"}
    if cinp is not None:
        fields["Cinp-Version"] = cinp
    fields |= {"Content-Length": len(body)} | {name.replace("_", "-"): text for name, text in headers.items()}
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return f"HTTP/1.1 {status} SAID\r\n{head}\r\n".encode("latin-1") + body


def recorded() -> list[Recorded]:
    """All recorded answers, made into bytes again."""
    found = []
    for path in sorted(WIRE.glob("*.json")):
        for number, exchange in enumerate(json.loads(path.read_text())):
            asked, response = exchange["request"], exchange["response"]
            verb, target = [*asked["line"].split(" "), ""][:2]
            status = response["status"]
            value = response["body"]
            found.append(
                Recorded(
                    f"{path.name[:2]}:{number} {exchange['name']}",
                    verb,
                    target,
                    int(status.split(" ")[1]) if status else 0,
                    value,
                    response["headers"].get("Multi-Object") == "True",
                    _raw(status, response["headers"], value) if status else b"",
                )
            )
    return found


def _raw(status: str, headers: Mapping[str, str], value: Any) -> bytes:
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    if isinstance(value, str) and headers.get("Content-Length") == str(len(body) + 2):
        # The recorder left out the quotes of a JSON string.
        body = json.dumps(value).encode()
    fields = dict(headers)
    if fields.get("Transfer-Encoding") == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif "Content-Length" in fields:
        # Some bodies were recorded in part only.
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return f"{status}\r\n{head}\r\n".encode("latin-1") + body
