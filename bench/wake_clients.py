"""Callers of a packrat server that take little of the processors themselves: mirrors that wait, and users that tag."""

import asyncio
import json
import multiprocessing.sharedctypes
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

PACKAGE = "/api/v2/Package/PackageFile"
_WAIT_S = 240
_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Session:
    """A caller's name and token."""

    name: str
    token: str


class Line:
    """One connection that stays open."""

    def __init__(self, host: str, port: int, session: Session) -> None:
        self._place = (host, port)
        auth = f"Auth-Id: {session.name}\r\nAuth-Token: {session.token}\r\n"
        self._head = f"Host: {host}\r\nCInP-Version: 0.9\r\nContent-Type: application/json\r\n{auth}"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, verb: str, target: str, body: Mapping[str, Any] | None) -> None:
        """Send a request."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._place)
        data = b"" if body is None else json.dumps(body).encode()
        self._writer.write(
            f"{verb} {target} HTTP/1.1\r\n{self._head}Content-Length: {len(data)}\r\n\r\n".encode() + data
        )
        await self._writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """Receive an answer: its status and body."""
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        return int(head[9:12]), await self._reader.readexactly(length)

    async def ask(self, verb: str, target: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        """Send a request and receive its answer."""
        await self.send(verb, target, body)
        return await self.receive()

    async def receive_head(self) -> bytes:
        """Receive the head of an answer whose body comes in chunks."""
        assert self._reader is not None
        return await self._reader.readuntil(b"\r\n\r\n")

    async def receive_chunk(self) -> bytes:
        """Receive a chunk of a body; empty at its end."""
        assert self._reader is not None
        length = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(length + 2))[:-2]

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


@dataclass(slots=True)
class Mirrors:
    """Mirrors that wait for changes, for a process of their own.

    Attributes:
        waiting: How many times a mirror has begun to wait, again for each change that it has heard of.
        stream: Whether their question stays open; else they ask again after each answer.
        heard: When a change of a package was heard: (its name, the time).
    """

    host: str
    port: int
    sessions: Sequence[Session]
    waiting: "multiprocessing.sharedctypes.Synchronized[int]"
    stream: bool = True
    heard: list[tuple[str, float]] = field(default_factory=list)

    def run(self, pipe: Connection) -> None:
        """Wait until something comes through the pipe, then send what was heard."""
        asyncio.run(self._run(pipe))
        pipe.send(self.heard)

    async def _run(self, pipe: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow(session)) for session in self.sessions]
            await asyncio.to_thread(pipe.recv)
            for task in tasks:
                task.cancel()

    async def _follow(self, session: Session) -> None:
        line = Line(self.host, self.port, session)
        target = f"/api/v2/Repo/Mirror:{session.name}:(changes)"
        asked = {"position": None, "timeout": _WAIT_S, "records": True, "stream": self.stream}
        try:
            status = 429
            while status == 429:
                # The questions of a crowd that was here before may count still.
                await asyncio.sleep(_AGAIN_S)
                status, body = await line.ask("CALL", target, asked)
            assert status == 200, body
            asked["position"] = json.loads(body)["position"]
            await (self._read_stream(line, target, asked) if self.stream else self._ask_again(line, target, asked))
        finally:
            line.close()

    async def _ask_again(self, line: Line, target: str, asked: dict[str, Any]) -> None:
        while True:
            await line.send("CALL", target, asked)
            self._count()
            status, body = await line.receive()
            assert status == 200, body
            asked["position"] = self._hear(body)

    async def _read_stream(self, line: Line, target: str, asked: dict[str, Any]) -> None:
        while True:
            await line.send("CALL", target, asked)
            head = await line.receive_head()
            assert b" 200 " in head, head
            is_first = True
            while chunk := await line.receive_chunk():
                if chunk.strip():
                    asked["position"] = self._hear(chunk)
                    # The first line says only that the mirror waits, as the first question of the others does.
                    if is_first or b'"changes": {}' not in chunk:
                        self._count()
                    is_first = False

    def _count(self) -> None:
        with self.waiting.get_lock():
            self.waiting.value += 1

    def _hear(self, body: bytes) -> str:
        now, told = time.monotonic(), json.loads(body)
        self.heard += [(name, now) for packages in told["changes"].values() for name in packages or ()]
        return str(told["position"])
