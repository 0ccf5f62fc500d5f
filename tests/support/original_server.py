"""A packrat server of the original's manners: what it forgets, refuses and mixes up, and how it fails.

Its answers have the shapes of the recorded exchanges; how it behaves stands beside each method.
"""

import asyncio
import hashlib
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from support.recorded import read_wire

_API = "/api/v2/"
_REPO, _MIRROR, _FILE = f"{_API}Repo/Repo", f"{_API}Repo/Mirror", f"{_API}Package/PackageFile"
_SUITE = f"{_API}Attrib/DistroVersion"
_JSON = "application/json;charset=utf-8"
_HTML = b"<html><head><title>Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Manners:
    """How the server behaves; may be changed while it runs.

    minimum_s, maximum_s: how long a poll takes at least, and when the worker is killed without a byte. late: a poll
    tells what it heard when its time is over. twice: what a poll told, the next one of that repository tells again.
    spurious: a change wakes polls of any repository. gone: the database is gone: all is 500, polls are empty, at
    once; numbered: each 500 with a number of its own. deaf: polls are empty, at once. silent: nothing is ever
    answered. slow_s: before each answer. html: a proxy in front answers with its error page. cut: answers end in
    the middle. busy: all is 429 with this Retry-After. closed: nothing is shown without a login. wrong: every answer
    is of this value. redirect: every answer leads there. cut_files: so many downloads still end in the middle;
    resumable: files have a length, ETag and Range. record_s: what each record of a package file costs the one processor
    of the server. restless: each answer names another moment of creation. held: answers to GETs of package files wait
    for `let_go`. after_file: is called when a download was answered.
    """

    minimum_s: float = 10.0
    maximum_s: float = 240.0
    late: bool = False
    twice: bool = False
    spurious: bool = False
    gone: bool = False
    numbered: bool = False
    deaf: bool = False
    silent: bool = False
    slow_s: float = 0.0
    html: bool = False
    cut: bool = False
    busy: str | None = None
    closed: bool = False
    wrong: Any = None
    redirect: str | None = None
    cut_files: int = 0
    resumable: bool = False
    record_s: float = 0.0
    restless: bool = False
    held: bool = False
    after_file: Callable[[], None] = lambda: None
    api: str = "2.0"


@dataclass(slots=True)
class StoredRepo:
    """A repository: what it takes."""

    tag: str
    suites: tuple[str, ...] = ("bookworm",)
    kind: str = "apt"


@dataclass(slots=True)
class StoredPackage:
    """A package file on the server."""

    number: int
    package: str
    version: str
    suite: str
    name: str
    content: bytes
    tags: set[str] = field(default_factory=set)
    failed: bool = False
    kind: str = "deb"
    created: str = "2026-11-22T11:20:20.264145+00:00"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, header names in lower case, and the monotonic second at which it came."""

    at: float
    verb: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def arguments(self) -> dict[str, Any]:
        """The body, {} where it is no object."""
        value = json.loads(self.body) if self.body else {}
        return value if isinstance(value, dict) else {}


class _Refusal(Exception):
    def __init__(self, status: int, value: Any) -> None:
        super().__init__(value)
        self.status, self.value = status, value


@dataclass(slots=True)
class _Poll:
    repo: str
    heard: asyncio.Event
    names: list[str]


class OriginalServer:
    """The server; its methods may be called from any thread."""

    def __init__(self, workers: int = 3, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._tls = tls
        self.manners = Manners()
        self.mirror = "lab"
        self.psk = "lab_psk"
        """What mirror.conf has, since the original agent does not start without one."""
        self.users: dict[str, str] = {}
        """Name → password. A mirror is none: its login is refused, and reading needs none."""
        self.login_status: int | None = None
        """The status of every answer to a login, with login_value, or else an HTML page."""
        self.login_value: Any = None
        self.repos: dict[str, StoredRepo] = {}
        self.files: dict[int, StoredPackage] = {}
        self.asked: list[Request] = []
        self._news = threading.Condition()
        self.polls_at_once = 0
        """The most polls that were ever open at the same time."""
        self.gets_at_once = 0
        """The most GETs of package files that were ever open at the same time."""
        self.waits: list[Request] = []
        """Requests that found all workers busy."""
        self._gets = 0
        self._held = asyncio.Semaphore(0)
        self._processor = asyncio.Lock()
        self._tokens: set[str] = set()
        self._order: list[int] = []
        self._polls: list[_Poll] = []
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._again: dict[str, list[str]] = {}
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Semaphore(workers)
        shapes = {one.target: one.answer for one in read_wire("02") if one.verb == "GET" and one.status == 200}
        self._shape_mirror = shapes[f"{_MIRROR}:lab:"]
        self._shape_repo = next(
            one.answer
            for one in read_wire("02")
            if one.target == f"{_REPO}:apt-dev:" and one.status == 200 and "name" in one.answer
        )
        self._shape_file = shapes[f"{_FILE}:1:"]

    @property
    def url(self) -> str:
        """Its origin; the port stays the same when it is started again."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    def until_asked(self, number: int, part: str = "", since: float | None = None) -> float:
        """Wait until that many more requests came whose `VERB target` has that part; gives how many seconds it took."""
        since = time.monotonic() if since is None else since
        with self._news:
            assert self._news.wait_for(lambda: self.count(part, since) >= number, 120), f"{number} × {part}"
        return time.monotonic() - since

    def count(self, part: str = "", since: float = 0.0) -> int:
        """How many requests there were whose `VERB target` has that part."""
        return sum(part in f"{one.verb} {one.target}" for one in list(self.asked) if one.at >= since)

    # What people do on the server.

    def put(self, package: str, version: str, name: str, content: bytes, tags: Sequence[str] = ("dev",)) -> int:
        """Upload a file for bookworm and tag it; the tags wake polls, the upload does not."""
        number = max(self.files, default=0) + 1
        self.files[number] = StoredPackage(number, package, version, "bookworm", name, content)
        self._order.append(number)
        for tag in tags:
            self.tag(number, tag)
        return number

    def put_many(self, count: int, kind: str = "rpm", tag: str = "dev") -> range:
        """Add files that nobody is told of, by default of a type that an apt repository refuses; gives the numbers."""
        first = max(self.files, default=0) + 1
        for number in range(first, first + count):
            file = StoredPackage(
                number, f"many{number}", "1", "bookworm", f"many{number}_1_all.x", b"", {tag}, kind=kind
            )
            self.files[number] = file
            self._order.append(number)
        return range(first, first + count)

    def record(self, number: int) -> dict[str, Any]:
        """What the server says of a package file."""
        return self._record(_FILE, str(number))

    def tag(self, number: int, tag: str) -> None:
        """Tag a file: the row moves to the end of lists."""
        self.files[number].tags.add(tag)
        self._touch(number)

    def fail(self, number: int) -> None:
        """Mark a file as failed: it leaves the lists."""
        self.files[number].failed = True
        self._touch(number)

    def restore(self, newest: int) -> None:
        """Take the database back to when `newest` was the newest file, as a backup does; nobody is told."""
        self.files = {number: file for number, file in self.files.items() if number <= newest}
        self._order = [number for number in self._order if number <= newest]

    def let_go(self, count: int = 1) -> None:
        """Answer so many of the GETs that are held."""

        def release() -> None:
            for _ in range(count):
                self._held.release()

        self._do(release)

    def revoke(self) -> None:
        """End all sessions."""
        self._tokens.clear()

    def _touch(self, number: int) -> None:
        self._order.remove(number)
        self._order.append(number)
        self._do(lambda: self._notify(number))

    def _notify(self, number: int) -> None:
        """Wake the polls that are open at this moment: one name each; who polls a moment later hears nothing."""
        file = self.files[number]
        for poll in self._polls:
            repo = self.repos.get(poll.repo)
            if self.manners.spurious or (repo is not None and repo.tag in file.tags and file.suite in repo.suites):
                poll.names.append(file.package)
                poll.heard.set()

    # How it runs.

    def start(self) -> None:
        """Listen, on the port of the last time."""

        async def listen() -> None:
            self._listener = await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls)
            self._port = self._listener.sockets[0].getsockname()[1]

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

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    def _do(self, work: Callable[[], None]) -> None:
        async def do() -> None:
            work()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close: it never keeps a connection."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            request = await _read(reader)
            with self._news:
                self.asked.append(request)
                self._news.notify_all()
            if self.manners.silent:
                await asyncio.Event().wait()
            if self._free.locked():
                self.waits.append(request)
            async with self._free:
                await self._answer(request, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            del self._open[task]
            with suppress(OSError):
                writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        manners = self.manners
        await asyncio.sleep(manners.slow_s)
        if manners.html:
            await _send(writer, 502, {"Content-Type": "text/html"}, _HTML)
        elif manners.busy:
            await _send(writer, 429, {"Content-Type": _JSON, "Retry-After": manners.busy}, b'{"message": "Busy"}')
        elif self.login_status is not None and request.target.endswith("(login)"):
            data = _HTML if self.login_value is None else json.dumps(self.login_value).encode()
            kind = "text/html" if self.login_value is None else _JSON
            await _send(writer, self.login_status, {"Content-Type": kind}, data)
        elif manners.redirect:
            await _send(writer, 302, {"Location": manners.redirect + request.target}, b"")
        elif request.target.startswith("/files/"):
            await self._send_file(request, writer)
            manners.after_file()
        elif len(request.target) + len(request.verb) > 4080:
            await _send(writer, 400, {"Content-Type": "text/html"}, b"<html><h1>Bad Request</h1></html>")
        else:
            headers = {"Cinp-Version": "0.9", "Content-Type": _JSON}
            try:
                value, more = await self._do_verb(request)
                status, headers = 200, {**headers, "Verb": request.verb, **more}
            except _Refusal as refusal:
                status, value = refusal.status, refusal.value
            if manners.wrong is not None:
                value = manners.wrong
            # An action without a result has an empty body.
            data = b"" if value is None else json.dumps(value).encode()
            await _send(writer, status, headers, data, cut=manners.cut)

    async def _do_verb(self, request: Request) -> tuple[Any, dict[str, str]]:
        if request.headers.get("cinp-version") != "0.9":
            raise _Refusal(400, {"message": "Invalid CInP Protocol Version"})
        token = request.headers.get("auth-token")
        login = request.target.endswith("(login)") or request.verb == "DESCRIBE"
        if (token is not None and token not in self._tokens) or (self.manners.closed and token is None and not login):
            raise _Refusal(401, {"message": "Invalid Session"})
        polling = request.target.endswith("(poll)")
        if self.manners.gone and not polling:
            number = f" in request {secrets.token_hex(8)}" if self.manners.numbered else ""
            raise _Refusal(500, {"message": f'Exception (InterfaceError)"connection already closed"{number}'})
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
        raise _Refusal(400, {"message": f'Invalid verb "{request.verb}" for request with data'})

    def _describe(self, target: str) -> Any:
        for one in read_wire("01"):
            if one.target == target and one.status == 200:
                return {**one.answer, "api-version": self.manners.api} if target == _API else one.answer
        raise _Refusal(404, {"message": f'path not found "{target}"'})

    async def _get(self, request: Request) -> tuple[Any, dict[str, str]]:
        model, _, rest = request.target.partition(":")
        ids = rest.removesuffix(":").split(":")
        if model == _FILE:
            await self._work_on(len(ids))
        if len(ids) > 100:
            raise _Refusal(400, {"message": 'id_list longer than supported length of "100"'})
        found = {f"{model}:{one}:": self._record(model, one) for one in ids}
        if len(ids) == 1 and "multi-object" not in request.headers:
            return next(iter(found.values())), {"Multi-Object": "False"}
        return found, {"Multi-Object": "True"}

    async def _work_on(self, records: int) -> None:
        """Take the time that so many records cost, longer for each other request that is worked on meanwhile."""
        self._gets += 1
        self.gets_at_once = max(self.gets_at_once, self._gets)
        try:
            if self.manners.held:
                await self._held.acquire()
            left_s = records * self.manners.record_s
            while left_s > 0:
                # The processor goes from one to the next in slices.
                async with self._processor:
                    await asyncio.sleep(min(left_s, 0.01))
                left_s -= 0.01
        finally:
            self._gets -= 1

    def _record(self, model: str, one: str) -> dict[str, Any]:
        if model == _MIRROR and one == self.mirror:
            return {**self._shape_mirror, "repo_list": [f"{_REPO}:{name}:" for name in self.repos]}
        if model == _REPO and one in self.repos:
            repo = self.repos[one]
            own = {"name": one, "filesystem_dir": one, "manager_type": repo.kind}
            own["distroversion_list"] = [f"{_SUITE}:{suite}:" for suite in repo.suites]  # type: ignore[assignment]
            return {**self._shape_repo, **own, "tag": f"{_API}Attrib/Tag:{repo.tag}:"}
        if model == _SUITE:
            return {"name": one, "distro": "debian", "version": one, "file_type": "deb", "release_names": one}
        if model == _FILE and one.isdigit() and int(one) in self.files:
            file = self.files[int(one)]
            own = {"package": f"{_API}Package/Package:{file.package}:", "version": file.version, "arch": "all"}
            own |= {"distroversion": f"{_SUITE}:{file.suite}:", "file": f"/files/{file.name}", "type": file.kind}
            own["created"] = file.created
            if self.manners.restless:
                own["created"] = f"2026-11-22T11:20:20.{len(self.asked):06}+00:00"
            return {**self._shape_file, **own, "sha256": hashlib.sha256(file.content).hexdigest()}
        raise _Refusal(404, {"model_path": model, "object_id": one})

    def _list(self, request: Request) -> tuple[Any, dict[str, str]]:
        """The order is that of the last update: an updated row moves to the end."""
        arguments = request.arguments
        if request.headers.get("filter") != "repo" or set(arguments) != {"repo", "package_list"}:
            raise _Refusal(400, {"repo": "Required Paramater"})
        name = str(arguments["repo"]).removeprefix(f"{_REPO}:").removesuffix(":")
        if name not in self.repos:
            raise _Refusal(400, {"repo": "Invalid Value"})
        repo, wanted = self.repos[name], arguments["package_list"]
        uris = [
            f"{_FILE}:{number}:"
            for number in self._order
            if repo.tag in (file := self.files[number]).tags
            and file.suite in repo.suites
            and not file.failed
            and (wanted is None or file.package in wanted)
        ]
        start, count = int(request.headers.get("position", "0")), int(request.headers.get("count", "10"))
        page = uris[start : start + count]
        return page, {"Position": str(start), "Count": str(len(page)), "Total": str(len(uris)), "Id-Only": "False"}

    def _call(self, request: Request) -> Any:
        if request.target == f"{_API}Auth/User(login)":
            given = request.arguments
            if set(given) != {"username", "password"} or self.users.get(given["username"]) != given["password"]:
                raise _Refusal(400, {"message": "Invalid Login"})
            token = f"token{len(self.asked)}"
            self._tokens.add(token)
            return token
        if request.target == f"{_MIRROR}:{self.mirror}:(heartbeat)":
            return None
        raise _Refusal(404, {"message": f'path not found "{request.target}"'})

    async def _poll(self, request: Request) -> Any:
        """Hear what happens from now on; what happened before is forgotten."""
        name = request.target.removeprefix(f"{_REPO}:").partition(":")[0]
        if name not in self.repos:
            raise _Refusal(404, {"model_path": _REPO, "object_id": name})
        if self.manners.gone or self.manners.deaf:
            return []
        if again := self._again.pop(name, None):
            return again
        poll = _Poll(name, asyncio.Event(), [])
        self._polls.append(poll)
        self.polls_at_once = max(self.polls_at_once, len(self._polls))
        timeout_s = max(float(request.arguments["timeout"]), self.manners.minimum_s)
        try:
            async with asyncio.timeout(min(timeout_s, self.manners.maximum_s)):
                await poll.heard.wait()
                if self.manners.late:
                    await asyncio.Event().wait()
        except TimeoutError:
            if timeout_s > self.manners.maximum_s:
                raise OSError("the worker is killed") from None
        finally:
            self._polls.remove(poll)
        if poll.names and self.manners.twice:
            self._again[name] = poll.names[:1]
        return poll.names if self.manners.late else poll.names[:1]

    async def _send_file(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """By default chunked: no length, no ETag, no Range."""
        content = next((one.content for one in self.files.values() if f"/files/{one.name}" == request.target), None)
        if content is None:
            await _send(writer, 404, {"Content-Type": "text/html"}, b"<html>File Not Found</html>")
            return
        cut = self.manners.cut_files > 0
        self.manners.cut_files -= cut
        headers = {"Content-Type": "application/octet-stream"}
        if self.manners.resumable:
            etag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
            asked = re.match(r"bytes=(\d+)-", request.headers.get("range", ""))
            start = int(asked[1]) if asked else 0
            if start and request.headers.get("if-range", etag) == etag:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                await _send(writer, 206, {**headers, "ETag": etag}, content[start:], cut=cut)
            else:
                await _send(writer, 200, {**headers, "ETag": etag}, content, cut=cut)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = content[: len(content) // 2] if cut else content
        for at in range(0, len(sent), 65536):
            part = sent[at : at + 65536]
            writer.write(b"%X\r\n%s\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"" if cut else b"0\r\n\r\n")
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    """Read one request; a chunked body is ignored."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    verb, target, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(time.monotonic(), verb, target, headers, body)


async def _send(
    writer: asyncio.StreamWriter, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
) -> None:
    lines = [f"HTTP/1.1 {status} SAID", "Connection: close", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    writer.write(data[: len(data) // 2] if cut else data)
    await writer.drain()


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
        thread.join(10)
        server._loop.close()
