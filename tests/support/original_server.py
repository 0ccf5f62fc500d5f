"""A packrat server of the original's manners: what it forgets, refuses and mixes up, and how it fails.

Its answers have the shapes of the recorded exchanges. It has three workers, each of which does one request at a time;
further requests wait, and a poll keeps its worker. `original_store` has what people do on it, `original_manners` how it
behaves:

    with original_server() as server:
        number = server.upload("jq_1.6-2.1.deb12u3_amd64.deb", content)
        with server.holding("GET /api/v2/Package/PackageFile") as held:
            held.until_waiting(1)
            held.let_go()
"""

import asyncio
import hashlib
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from support.original_http import HTML, JSON, Request, read, send, send_chunked
from support.original_manners import HeldBack, Manners
from support.original_polls import Polls
from support.original_store import API, FILE, MIRROR, REPO, Refusal, Store, StoredPackage, StoredRepo
from support.ports import hold_port
from support.recorded import read_wire

__all__ = ["HeldBack", "Manners", "OriginalServer", "Request", "StoredPackage", "StoredRepo", "original_server"]

_ERROR_PAGE = b"<html><head><title>Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_LINE_LIMIT = 4080


class OriginalServer(Store):
    """The server; its methods may be called from any thread."""

    def __init__(self, workers: int = 3, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._host = host
        self._tls = tls
        self.manners = Manners()
        self.psk = "lab_psk"
        """What mirror.conf has, since the original agent does not start without one."""
        self.users: dict[str, str] = {}
        """Name → password. A mirror is none: its login is refused, and reading needs none."""
        self.login_status: int | None = None
        """The status of every answer to a login, with login_value, or else an HTML page."""
        self.login_value: Any = None
        self.asked: list[Request] = []
        self.most_at_once = 0
        """The most requests that were ever worked on at the same time."""
        self.gets_at_once = 0
        """The most GETs of package files that were ever worked on at the same time."""
        self.answered: list[Request] = []
        self.waits: list[Request] = []
        """Requests that found all workers busy."""
        self._gets = 0
        self._processor = asyncio.Lock()
        self._news = threading.Condition()
        self._tokens: set[str] = set()
        self._polls = Polls()
        self._held: list[HeldBack] = []
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._holder = hold_port(host)
        self._port = int(self._holder.getsockname()[1])
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Semaphore(workers)
        self._working = 0

    @property
    def url(self) -> str:
        """Its origin; the port stays the same when it is started again."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    @property
    def polls_at_once(self) -> int:
        """The most polls that were ever open at the same time."""
        return self._polls.most

    def until_asked(self, number: int, part: str = "", since: float | None = None) -> float:
        """Wait until that many more requests came whose `VERB target` has that part; gives how many seconds it took."""
        since = time.monotonic() if since is None else since
        with self._news:
            assert self._news.wait_for(lambda: self.count(part, since) >= number, 120), f"{number} × {part}"
        return time.monotonic() - since

    def until_answered(self, since: float) -> None:
        """Wait until one of the requests that came since then was answered."""
        with self._news:
            assert self._news.wait_for(lambda: any(request.at >= since for request in self.answered), 120)

    def until_polled(self, repo: str) -> None:
        """Wait until a poll of that repository is open."""
        self._polls.until_open(repo)

    def count(self, part: str = "", since: float = 0.0) -> int:
        """How many requests there were whose `VERB target` has that part."""
        return sum(part in request.line for request in list(self.asked) if request.at >= since)

    @contextmanager
    def holding(self, which: str | Callable[[Request], bool]) -> Iterator[HeldBack]:
        """Hold requests back, each in its worker, until they are let go.

        Args:
            which: A part of their `VERB target`, or what is true for them.
        """
        held = HeldBack(which, self._loop)
        self._held.append(held)
        try:
            yield held
        finally:
            held.end()
            self._held.remove(held)

    def revoke(self) -> None:
        """End all sessions."""
        self._tokens.clear()

    def changed(self, number: int) -> None:
        """Wake the polls that are open."""

        async def tell() -> None:
            self._polls.tell(self.files[number], self.repos, self.manners)

        self._run(tell)

    # How it runs.

    def start(self) -> None:
        """Listen, on the port of the last time."""

        async def listen() -> None:
            self._listener = await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls)

        self._run(listen)

    def stop(self) -> None:
        """Close the port and all connections, as a process that is killed does."""

        async def close() -> None:
            if self._listener is not None:
                # Those that were taken already are to be found among the open ones.
                for listening in self._listener.sockets:
                    self._loop.remove_reader(listening.fileno())
                for _ in range(5):
                    await asyncio.sleep(0)
                self._listener.close()
                self._listener = None
            for task, writer in list(self._open.items()):
                writer.transport.abort()
                task.cancel()

        self._run(close)

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        async def do() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(60)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close: it never keeps a connection."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            request = await read(reader)
            with self._news:
                self.asked.append(request)
                self._news.notify_all()
            if self.manners.silent:
                await asyncio.Event().wait()
            if self._free.locked():
                self.waits.append(request)
            async with self._free:
                await self._work(request, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            del self._open[task]
            with suppress(OSError):
                writer.close()

    async def _work(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._working += 1
        self.most_at_once = max(self.most_at_once, self._working)
        try:
            for held in list(self._held):
                await held.wait(request)
            await asyncio.sleep(self.manners.slow_s)
            await self._answer(request, writer)
            with self._news:
                self.answered.append(request)
                self._news.notify_all()
        finally:
            self._working -= 1

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        manners = self.manners
        if manners.html:
            await send(writer, 502, {"Content-Type": HTML}, _ERROR_PAGE)
        elif manners.busy:
            await send(writer, 429, {"Content-Type": JSON, "Retry-After": manners.busy}, b'{"message": "Busy"}')
        elif self.login_status is not None and request.target.endswith("(login)"):
            data = _ERROR_PAGE if self.login_value is None else json.dumps(self.login_value).encode()
            kind = HTML if self.login_value is None else JSON
            await send(writer, self.login_status, {"Content-Type": kind}, data)
        elif manners.redirect:
            await send(writer, 302, {"Location": manners.redirect + request.target}, b"")
        elif request.target.startswith("/files/"):
            await self._send_file(request, writer)
            manners.after_file()
        elif len(request.line) >= _LINE_LIMIT:
            await send(writer, 400, {"Content-Type": HTML}, b"<html><h1>Bad Request</h1></html>")
        else:
            headers = {"Cinp-Version": manners.cinp, "Content-Type": JSON}
            try:
                value, more = await self._do_verb(request)
                status, headers = 200, {**headers, "Verb": request.verb, **more}
            except Refusal as refusal:
                status, value = refusal.status, refusal.value
            if manners.wrong is not None:
                value = manners.wrong
            # An action without a result has an empty body.
            data = b"" if value is None else json.dumps(value).encode()
            await send(writer, status, headers, data, cut=manners.cut)

    # What it answers.

    async def _do_verb(self, request: Request) -> tuple[Any, dict[str, str]]:
        if request.headers.get("cinp-version") != self.manners.cinp:
            raise Refusal(400, {"message": "Invalid CInP Protocol Version"})
        token = request.headers.get("auth-token")
        login = request.target.endswith("(login)") or request.verb == "DESCRIBE"
        if (token is not None and token not in self._tokens) or (self.manners.closed and token is None and not login):
            raise Refusal(401, {"message": "Invalid Session"})
        polling = request.target.endswith("(poll)")
        if self.manners.gone and not polling:
            number = f" in request {secrets.token_hex(8)}" if self.manners.numbered else ""
            raise Refusal(500, {"message": f'Exception (InterfaceError)"connection already closed"{number}'})
        match request.verb:
            case "DESCRIBE":
                return self._describe(request.target), {}
            case "GET" if not request.body:
                return await self._get(request)
            case "LIST":
                return self._list(request)
            case "CALL" if polling:
                return await self._poll(request), {"Multi-Object": "False"}
            case "CALL":
                return self._call(request), {"Multi-Object": "False"}
        raise Refusal(400, {"message": f'Invalid verb "{request.verb}" for request with data'})

    def _describe(self, target: str) -> Any:
        for exchange in read_wire("01"):
            if exchange.target == target and exchange.status == 200:
                return {**exchange.answer, "api-version": self.manners.api} if target == API else exchange.answer
        raise Refusal(404, {"message": f'path not found "{target}"'})

    async def _get(self, request: Request) -> tuple[Any, dict[str, str]]:
        model, _, rest = request.target.partition(":")
        ids = rest.removesuffix(":").split(":")
        if model == FILE:
            await self._work_on(len(ids))
        if len(ids) > 100:
            raise Refusal(400, {"message": 'id_list longer than supported length of "100"'})
        found = {f"{model}:{object_id}:": self.record(model, object_id) for object_id in ids}
        if model == FILE and self.manners.restless:
            for record in found.values():
                record["created"] = f"2026-11-22T11:20:20.{len(self.asked):06}+00:00"
        if len(ids) == 1 and "multi-object" not in request.headers:
            return next(iter(found.values())), {"Multi-Object": "False"}
        return found, {"Multi-Object": "True"}

    async def _work_on(self, records: int) -> None:
        """Take the time that so many records cost, longer for each other request that is worked on at the same time."""
        self._gets += 1
        self.gets_at_once = max(self.gets_at_once, self._gets)
        try:
            left_s = records * self.manners.record_s
            while left_s > 0:
                # The processor goes from one to the next in slices.
                async with self._processor:
                    await asyncio.sleep(min(left_s, 0.01))
                left_s -= 0.01
        finally:
            self._gets -= 1

    def _list(self, request: Request) -> tuple[Any, dict[str, str]]:
        arguments = request.arguments
        if request.headers.get("filter") != "repo" or set(arguments) != {"repo", "package_list"}:
            raise Refusal(400, {"repo": "Required Paramater"})
        name = str(arguments["repo"]).removeprefix(f"{REPO}:").removesuffix(":")
        if name not in self.repos:
            raise Refusal(400, {"repo": "Invalid Value"})
        uris = self.wanted(self.repos[name], arguments["package_list"])
        start, count = int(request.headers.get("position", "0")), int(request.headers.get("count", "10"))
        page = uris[start : start + count]
        return page, {"Position": str(start), "Count": str(len(page)), "Total": str(len(uris)), "Id-Only": "False"}

    def _call(self, request: Request) -> Any:
        if request.target == f"{API}Auth/User(login)":
            given = request.arguments
            if set(given) != {"username", "password"} or self.users.get(given["username"]) != given["password"]:
                raise Refusal(400, {"message": "Invalid Login"})
            token = f"token{len(self.asked)}"
            self._tokens.add(token)
            return token
        if request.target == f"{MIRROR}:{self.mirror}:(heartbeat)":
            return None
        raise Refusal(404, {"message": f'path not found "{request.target}"'})

    async def _poll(self, request: Request) -> Any:
        name = request.target.removeprefix(f"{REPO}:").partition(":")[0]
        if name not in self.repos:
            raise Refusal(404, {"model_path": REPO, "object_id": name})
        return await self._polls.hear(name, float(request.arguments["timeout"]), self.manners)

    async def _send_file(self, request: Request, writer: asyncio.StreamWriter) -> None:
        content = self.content(request.target)
        if content is None:
            await send(writer, 404, {"Content-Type": HTML}, b"<html>File Not Found</html>")
            return
        cut = self.manners.cut_files > 0
        self.manners.cut_files -= cut
        if not self.manners.resumable:
            await send_chunked(writer, content, cut=cut)
            return
        etag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        headers = {"Content-Type": "application/octet-stream", "ETag": etag}
        asked = re.match(r"bytes=(\d+)-", request.headers.get("range", ""))
        start = int(asked[1]) if asked else 0
        if start and request.headers.get("if-range", etag) == etag:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            await send(writer, 206, headers, content[start:], cut=cut)
        else:
            await send(writer, 200, headers, content, cut=cut)


@contextmanager
def original_server(
    workers: int = 3, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[OriginalServer]:
    """Run one with repository apt-dev."""
    server = OriginalServer(workers, host, tls)
    server.repos["apt-dev"] = StoredRepo("dev")
    thread = threading.Thread(target=server._loop.run_forever, name="original-server", daemon=True)
    thread.start()
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server._loop.call_soon_threadsafe(server._loop.stop)
        thread.join(60)
        server._loop.close()
        server._holder.close()
