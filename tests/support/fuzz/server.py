"""Fuzz targets: requests, as packrat-server reads them from a socket.

An input is a whole request, framing and all, or a body alone, which is sent behind a head that fits it. Where a request
has the token TOKEN of somebody, it is replaced by that of a session. The server fails an input where it answers 500,
logs an error, or keeps the connection open after the client has closed its side.
"""

import json
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import strategies as st

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_sdist, build_wheel
from support.fuzz.engine import Target
from support.replay import WIRE
from support.world import SECRETS, World, world

_PATIENCE_S = 0.2
"""A server that waits for more of a request is told after this time that nothing comes."""
_CLOSED_S = 45.0
_CINP = "CInP-Version: 0.9\r\nContent-Type: application/json;charset=utf-8\r\n"
_FILE, _REPO = "/api/v2/Package/PackageFile", "/api/v2/Repo/Repo"
_TAG = "/api/v2/Attrib/Tag:dev:"
_CALLS: Mapping[str, tuple[str, object]] = {
    "login": ("CALL /api/v2/Auth/User(login)", {"username": "nobody", "password": "x"}),
    "change_password": ("CALL /api/v2/Auth/User(change_password)", {"password": "x", "old_password": "wrong"}),
    "list": (f"LIST {_FILE}", {"repo": f"{_REPO}:apt-dev:", "package_list": ["hello", "p6"]}),
    "poll": (f"CALL {_REPO}:apt-dev:(poll)", {"timeout": 0}),
    "changes": ("CALL /api/v2/Repo/Mirror:lab:(changes)", {"position": None, "timeout": 0}),
    "heartbeat": ("CALL /api/v2/Repo/Mirror:lab:(heartbeat)", {}),
    "create_package": ("CREATE /api/v2/Package/Package", {"name": "new"}),
    "update_package": ("UPDATE /api/v2/Package/Package:hello:", {"deprocated_count": 3, "failed_count": 2}),
    "create": (
        f"CALL {_FILE}(create)",
        {
            "file": "djfh://x",
            "justification": "j",
            "provenance": "p",
            "version": "1",
            "type": "deb",
            "package": "hello",
        },
    ),
    "options": (f"CALL {_FILE}(distroversionOptions)", {"file": "djfh://x"}),
    "in_use": (f"CALL {_FILE}(filenameInUse)", {"file_name": "hello_2.10-3_amd64.deb"}),
    "tag": (f"CALL {_FILE}:2:(tag)", {"tag": _TAG, "change_control_id": "CC-1"}),
    "untag": (f"CALL {_FILE}:2:(untag)", {"tag": _TAG}),
    "tag_map": ("CALL /api/v2/Attrib/Tag(tagMap)", {}),
}
_HEADS = [
    "Multi-Object: True",
    "Filter: repo",
    "Count: 2",
    "Position: 1",
    "Range: bytes=0-3",
    "If-None-Match: *",
    "Expect: 100-continue",
]
_JSON = st.dictionaries(
    st.sampled_from(("repo", "package_list", "timeout", "position", "name", "file", "tag", "username", "x")),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), st.lists, max_leaves=5),
).map(lambda value: json.dumps(value).encode())


@contextmanager
def server_targets(directory: Path) -> Iterator[list[Target]]:
    """A target for each call, one for whole requests, and one for each kind of upload."""
    python = Python("a", "1")
    uploads = (
        ("deb", "one_1_all.deb", build_deb(Deb("one", "1", "all"))),
        ("rpm", "one-1-1.noarch.rpm", build_rpm(Rpm("one", "1", "noarch"))),
        ("wheel", "a-1-py3-none-any.whl", build_wheel(python)),
        ("sdist", "a-1.tar.gz", build_sdist(python)),
        ("image", "web_1.tar", build_oci(Image("web", "1"))),
        ("file", "x_1.conf", b"x"),
    )
    with world(directory) as made, _errors() as errors:
        for who in ("root", "manager", "lab"):
            made.auth(who)
        sender = _Sender(made, errors)
        targets = [Target("server.request", _requests(), sender.send, may_raise=())]
        for name, (line, arguments) in _CALLS.items():
            who = "lab" if name in ("poll", "changes", "heartbeat", "list") else "root"
            read = _Body(sender, f"{line} HTTP/1.1\r\n{_CINP}{_auth(who)}")
            targets.append(Target(f"server.{name}", [json.dumps(arguments).encode()], read, _JSON, may_raise=()))
        for kind, name, content in uploads:
            targets.append(Target(f"server.upload_{kind}", [content], _Upload(sender, name), may_raise=()))
        yield targets


class ServerError(Exception):
    """The server fails on a request."""


class _Sender:
    """Sends one request on a connection of its own."""

    def __init__(self, server: World, errors: "_Errors") -> None:
        host, _, port = server.url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._server = server
        self._errors = errors

    def send(self, data: bytes) -> bytes:
        """Send it, and give what comes until the server closes the connection."""
        for who in SECRETS:
            if who in self._server.tokens:
                data = data.replace(_placeholder(who).encode(), self._server.tokens[who].encode())
        with socket.create_connection(self._address, timeout=_CLOSED_S) as connection:
            answer = bytearray()
            with suppress(ConnectionError):
                connection.sendall(data)
                connection.settimeout(_PATIENCE_S)
                with suppress(TimeoutError):
                    _read_into(answer, connection)
                    return self._check(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(_CLOSED_S)
                _read_into(answer, connection)
        return self._check(answer)

    def _check(self, answer: bytearray) -> bytes:
        if self._errors.texts:
            text, self._errors.texts = "\n".join(self._errors.texts), []
            raise ServerError(f"it logs an error: {text}")
        if answer.startswith(b"HTTP/1.1 5") and not answer.startswith(b"HTTP/1.1 503"):
            raise ServerError(f"it answers {bytes(answer[:1000])!r}")
        return bytes(answer)


class _Body:
    """Sends a body behind a head that fits it."""

    def __init__(self, sender: _Sender, head: str) -> None:
        self._sender = sender
        self._head = head

    def __call__(self, data: bytes) -> bytes:
        head = f"{self._head}Host: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        return self._sender.send(head.encode() + data)


class _Upload:
    """Uploads a package file and makes a record of it, of its own version and of one that nobody has."""

    def __init__(self, sender: _Sender, name: str) -> None:
        self._sender = sender
        self._head = (
            f'POST /api/upload HTTP/1.1\r\nContent-Disposition: inline; filename="{name}"\r\n{_auth("manager")}'
        )

    def __call__(self, data: bytes) -> None:
        handle = re.search(rb"djfh://\w+", _Body(self._sender, self._head)(data))
        create = _Body(self._sender, f"CALL {_FILE}(create) HTTP/1.1\r\n{_CINP}{_auth('manager')}")
        for arguments in ({}, {"package": "hello", "version": "9"}) if handle else ():
            given = {"file": handle[0].decode(), "justification": "j", "provenance": "p", **arguments} if handle else {}
            create(json.dumps(given).encode())


class _Errors(logging.Handler):
    """Keeps the errors that the server logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(logging.Formatter().format(record))


@contextmanager
def _errors() -> Iterator[_Errors]:
    handler = _Errors()
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)


def _read_into(answer: bytearray, connection: socket.socket) -> None:
    while part := connection.recv(65536):
        answer += part


def _placeholder(who: str) -> str:
    return f"TOKEN-of-{who}"


def _auth(who: str) -> str:
    return f"Auth-Id: {who}\r\nAuth-Token: {_placeholder(who)}\r\n"


def _requests() -> list[bytes]:
    """The recorded requests, with sessions that hold, and no wait for changes; and some with a body in chunks."""
    found = []
    for path in sorted(WIRE.glob("*.json")):
        for exchange in json.loads(path.read_text()):
            asked = exchange["request"]
            body = asked["body"] if isinstance(asked["body"], str) else json.dumps(asked["body"])
            if (
                asked["line"].count(" ") != 2
                or len(body) > 2000
                or any(w in asked["line"] for w in ("(poll)", "(logout)"))
            ):
                continue
            fields = {name: text for name, text in asked["headers"].items() if name != "Content-Length"}
            if fields.get("Auth-Id") in SECRETS:
                fields["Auth-Token"] = _placeholder(fields["Auth-Id"])
            found.append(_write(asked["line"], [f"{name}: {text}" for name, text in fields.items()], body.encode()))
    for number, (line, arguments) in enumerate(_CALLS.values()):
        fields_of = [_CINP.strip(), _auth("root").strip(), _HEADS[number % len(_HEADS)]]
        body_of = json.dumps(arguments).encode()
        chunks = b"%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(body_of), body_of)
        head = "\r\n".join(
            [f"{line} HTTP/1.1", "Host: x", "Connection: close", *fields_of, "Transfer-Encoding: chunked"]
        )
        found.append(head.encode() + b"\r\n\r\n" + chunks)
    for field in _HEADS:
        found.append(_write("GET /files/hello_2.10-3_amd64.deb HTTP/1.1", [_auth("lab").strip(), field], b""))
    return found


def _write(line: str, fields: list[str], body: bytes) -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([line, "Host: x", "Connection: close", *fields, *length])
    return head.encode("utf-8", "replace") + b"\r\n\r\n" + body
