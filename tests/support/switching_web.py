"""Serves a tree that changes between two requests: the agent's own web server behind one that changes it."""

import http.client
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from support.stage import DEADLINE_S
from support.web import web_server
from support.window import State

_REGISTRY = re.compile(r"^((?:extensions/)?v2)/([^/]+)/")
"""Where a registry's address has the directory of the repository behind the version of the protocol."""

_MANIFEST = re.compile(r"/_refs/([^/]+)/manifest\.[^/]+$")
"""Where the web server has a manifest that is asked for below manifests/."""

_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


@dataclass(slots=True)
class SwitchingWeb:
    """Which state each request meets; `log` has the paths that were asked for."""

    url: str
    root: Path
    states: Sequence[State] = ()
    plan: list[tuple[str, int]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    shown: int = -1

    def begin(self, states: Sequence[State], plan: Sequence[tuple[str, int]]) -> None:
        """Show each path of the plan in its state; what is not in it, in the state of the request before."""
        with self.lock:
            self.states, self.plan, self.log, self.shown = states, list(plan), [], -1
            self._show(plan[0][1])

    def note(self, path: str) -> None:
        """Change the tree as the next request wants it."""
        self.log.append(path)
        file = _REGISTRY.sub(r"\2/\1/", path)
        for at, (planned, state) in enumerate(self.plan):
            asked = _MANIFEST.sub(r"/manifests/\1", planned)
            if file in (asked, f"{asked.rpartition('/')[0]}/"):
                self._show(state)
                del self.plan[: at + 1]
                return

    def _show(self, state: int) -> None:
        if state != self.shown:
            new = self.root.with_name("next")
            self.states[state].write(new)
            shutil.rmtree(self.root)
            new.rename(self.root)
            self.shown = state


@contextmanager
def switching_web(directory: Path) -> Iterator[SwitchingWeb]:
    """Serve on loopback while the context lasts."""
    root = directory / "served"
    root.mkdir(parents=True)
    with web_server(root) as inner:
        web = SwitchingWeb("", root)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web, inner.removeprefix("http://")))
        web.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            server.server_close()
            thread.join(DEADLINE_S)


def _handler(web: SwitchingWeb, inner: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Pass the request on, once the tree is as this request is to meet it."""
            with web.lock:
                web.note(unquote(self.path.partition("?")[0]).removeprefix("/"))
                connection = http.client.HTTPConnection(inner, timeout=DEADLINE_S)
                sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                connection.request(self.command, self.path, headers=sent)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in (*_HOP, "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(data)

        def do_HEAD(self) -> None:
            """The same."""
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
