"""Whatever keeps the agent from its server is told in one sentence: what, where, what to do next. Real sockets, TLS."""

import asyncio
import gzip
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.failures import MIRROR_CONF, SettingNames
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import ConfigError, PackratError, ServerBroken, ServerRefused, ServerUnavailable
from support.certificates import Certificates, make_certificates
from support.ports import has_ipv6
from support.proxy import running_proxy

NOBODY = "http://127.0.0.1:1"
QUICK = Timeouts(connect_s=60.0, stall_s=0.5, total_s=60.0)
"""For what takes a connection and never answers."""
NO_TLS = Timeouts(connect_s=0.5, stall_s=60.0, total_s=60.0)
"""For what takes a connection and never shakes hands."""
PATIENT = Timeouts(connect_s=60.0, stall_s=60.0, total_s=60.0)
"""For what answers: on a busy machine a handshake may take a second, and would be told as no answer in time."""
RAW = re.compile(r"ssl:default|Errno|_ssl\.c|Error|message=|<|\[SSL|b'")
"""What only a programmer reads."""

Serve = Callable[[socket.socket], object]


@contextmanager
def served(serve: Serve) -> Iterator[int]:
    """Do something with each connection; gives the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)

        def work() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError), connection:
                        serve(connection)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def say(answer: bytes) -> Serve:
    """Read a request, answer, close."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return serve


def encrypt(context: ssl.SSLContext) -> Serve:
    """Shake hands and close."""

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            inside.recv(65536)

    return serve


def reset(connection: socket.socket) -> None:
    """Read a request and tear the connection down."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def failure(
    origin: str,
    kind: type[PackratError],
    proxy: str | None = None,
    ca_file: Path | None = None,
    names: SettingNames = MIRROR_CONF,
    timeouts: Timeouts = PATIENT,
) -> str:
    """Ask, and give the sentence that says why it failed."""

    async def ask() -> None:
        async with CinpClient(origin, proxy=proxy, ca_file=ca_file, timeouts=timeouts, names=names) as client:
            await Packrat(client, "lab", None).open()

    with pytest.raises(kind) as caught:
        asyncio.run(ask())
    said = str(caught.value)
    assert caught.type is kind
    assert not RAW.search(said), said
    assert said.isprintable()
    return said


def test_a_port_where_nothing_listens_is_reported() -> None:
    said = failure(NOBODY, ServerUnavailable)
    assert said.startswith(f"{NOBODY} can't be reached: nothing listens on port 1 (connection refused)")
    assert "check host in [packrat]" in said
    if has_ipv6():
        assert "http://[::1]:1 can't be reached: nothing" in failure("http://[::1]:1", ServerUnavailable)


def test_a_name_that_nobody_knows() -> None:
    said = failure("http://nobody.invalid:8080", ServerUnavailable)
    assert "the name nobody.invalid can't be resolved" in said
    assert "check host in [packrat], and the name servers" in said


def test_the_proxy_is_named_where_it_is_the_proxy() -> None:
    dead = "http://user:secret@127.0.0.1:1"
    for origin in ("http://packrat.example.com", "https://packrat.example.com"):
        said = failure(origin, ServerUnavailable, dead)
        assert said.startswith("the proxy http://127.0.0.1:1 can't be reached: nothing listens")
        assert "check proxy in [packrat]" in said
        said = failure(origin, ServerUnavailable, "http://user:secret@nobody.invalid:3128")
        assert said.startswith("the proxy http://nobody.invalid:3128 can't be reached: the name nobody.invalid")
        assert "secret" not in said


@pytest.mark.parametrize("origin", ["http://packrat.example.com", "https://packrat.example.com"])
def test_a_proxy_that_wants_a_password_or_another_one(origin: str) -> None:
    with running_proxy("user:right") as proxy:
        assert "wants a password (407); set proxy in [packrat] to" in failure(origin, ServerUnavailable, proxy.url)
        said = failure(origin, ServerUnavailable, f"http://user:wrong@127.0.0.1:{proxy.port}")
    assert f"the proxy {proxy.url} refuses user and password (407)" in said
    assert "wrong" not in said


def test_a_proxy_that_does_not_let_through() -> None:
    with served(say(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as port:
        proxy = f"http://127.0.0.1:{port}"
        said = failure("https://packrat.example.com", ServerUnavailable, proxy)
        assert f"the proxy {proxy} refuses to open a connection (503)" in said
        assert "no_proxy" in said
        said = failure("http://packrat.example.com", ServerUnavailable, proxy)
        assert f"at http://packrat.example.com through the proxy {proxy}: 503" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the connection was closed before the answer was complete"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
            "the connection was closed before the answer was complete",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "the connection was closed before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer is not HTTP; check scheme"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP; check scheme"),
        (b"\x1b[2J\x00\r\n\r\n", "the answer is not HTTP; check scheme"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "the answer is not HTTP; check scheme"),
    ],
    ids=["nothing", "half a body", "half a chunk", "no chunk", "SSH", "escapes", "long header"],
)
def test_an_answer_that_is_none(answer: bytes, words: str) -> None:
    with served(say(answer)) as port:
        said = failure(f"http://127.0.0.1:{port}", ServerUnavailable)
    assert said.startswith(f"DESCRIBE /api/v2/ at http://127.0.0.1:{port}: {words}")


def test_a_connection_that_is_torn_down() -> None:
    with served(reset) as port:
        said = failure(f"http://127.0.0.1:{port}", ServerUnavailable)
    assert said.startswith(f"DESCRIBE /api/v2/ at http://127.0.0.1:{port}: the connection was reset; look at")


def test_a_server_that_is_silent() -> None:
    ended = threading.Event()
    with served(lambda connection: ended.wait(120)) as port:
        assert "no answer in time; find out" in failure(f"http://127.0.0.1:{port}", ServerUnavailable, timeouts=QUICK)
        assert "when connecting" in failure(f"https://127.0.0.1:{port}", ServerUnavailable, timeouts=NO_TLS)
        ended.set()


def test_a_web_server_that_is_no_packrat_server() -> None:
    with served(say(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as port:
        said = failure(f"http://127.0.0.1:{port}", ServerBroken)
    assert f"at http://127.0.0.1:{port}: 404; that is not a packrat server: check host in [packrat]" in said


def test_an_answer_that_something_compresses_though_nobody_asked_for_it() -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(65536))
        packed = gzip.compress(b"{}")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        connection.sendall(head.encode() + packed)

    with served(serve) as port:
        said = failure(f"http://127.0.0.1:{port}", ServerBroken)
    assert "not JSON; something in front of the server compresses its answers ('gzip') unasked: switch that off" in said
    assert b"\r\nAccept-Encoding: identity\r\n" in requests[0]


def test_a_port_without_tls_is_reported() -> None:
    with served(say(b"HTTP/1.1 400 No\r\n\r\n")) as port:
        said = failure(f"https://127.0.0.1:{port}", ServerUnavailable)
    assert said.startswith(f"https://127.0.0.1:{port} can't be reached: that port does not speak TLS")
    assert "check host in [packrat]" in said


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def test_a_certificate_of_an_unknown_ca(certificates: Certificates) -> None:
    with served(encrypt(certificates.context())) as port:
        said = failure(f"https://127.0.0.1:{port}", ServerUnavailable)
    assert said.startswith(f"the certificate of https://127.0.0.1:{port} is not trusted (")
    assert "set ca_file" in said
    # Browsers find a CA in between themselves, so a server that doesn't send it looks well there.
    assert "have the server send the certificates of the CAs in between, too" in said


@pytest.mark.parametrize(
    ("names", "at", "words"),
    [
        ("IP:127.0.0.1", "2021-03-01 00:00:00", "it has expired; renew it there, and check the clock"),
        (
            "IP:127.0.0.1",
            "2099-03-01 00:00:00",
            "it is not valid yet; check the clock of this machine, then the certificate",
        ),
        ("DNS:packrat.example.com,IP:127.0.0.2", None, "it is for another name ("),
    ],
    ids=["expired", "not yet", "another name"],
)
def test_a_certificate_that_is_no_good(tmp_path: Path, names: str, at: str | None, words: str) -> None:
    made = make_certificates(tmp_path, names, at)
    with served(encrypt(made.context())) as port:
        said = failure(f"https://127.0.0.1:{port}", ServerUnavailable, ca_file=made.ca)
    assert said.startswith(f"the certificate of https://127.0.0.1:{port} is not trusted: {words}")
    assert "set ca_file" not in said


def test_no_common_way_to_encrypt(certificates: Certificates) -> None:
    context = certificates.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("PSK-AES128-CBC-SHA")
    with served(encrypt(context)) as port:
        said = failure(f"https://127.0.0.1:{port}", ServerUnavailable, ca_file=certificates.ca)
    assert said.startswith(f"https://127.0.0.1:{port} can't be reached: it ends the TLS handshake (")
    assert "else look at its log" in said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate(certificates: Certificates, version: ssl.TLSVersion) -> None:
    context = certificates.context()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)

    def refuse(connection: socket.socket) -> None:
        # The raw connection stays open until the client has its answer: what is not read would reset it.
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            with suppress(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)
            while raw.recv(65536):
                pass

    with served(refuse) as port:
        said = failure(f"https://127.0.0.1:{port}", ServerUnavailable, ca_file=certificates.ca)
    assert "it wants a client certificate" in said
    assert "have the server let this client in without" in said


_SAID_BY_NGINX = "<html>\r\n<head><title>400 {0}</title></head>\r\n<body>\r\n<center>{0}</center></body></html>\r\n"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (
            _SAID_BY_NGINX.format("No required SSL certificate was sent"),
            ": 400, No required SSL certificate was sent; there is no setting for one",
        ),
        (
            _SAID_BY_NGINX.format("The plain HTTP request was sent to HTTPS port"),
            ": 400, plain HTTP request was sent to HTTPS port; let host in [packrat] begin with https://",
        ),
        (
            "<!DOCTYPE HTML>\n<head><title>400 Bad Request</title></head><body><p>You're speaking plain HTTP to "
            "an SSL-enabled server port.<br />",
            ": 400, speaking plain HTTP to an SSL-enabled server port; let host in [packrat] begin with https://",
        ),
        ("<html><title>400 Caf&eacute; \x1b[31m</title>", ": 400, Café"),
        ("<html>no title", ": 400"),
        (
            "<html><head><title>413 Request Entity Too Large</title>",
            ": 413, Request Entity Too Large; raise what the web server in front takes (nginx: client_max_body_size, ",
        ),
    ],
    ids=["nginx, client certificate", "nginx, plain", "apache, plain", "another", "no title", "nginx, too large"],
)
def test_a_web_server_that_refuses_in_html(page: str, told: str) -> None:
    body = page.encode()
    head = f"HTTP/1.1 {told[2:5]} Refused\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    with served(say(head.encode() + body)) as port:
        said = failure(f"http://127.0.0.1:{port}", ServerRefused)
    assert f"at http://127.0.0.1:{port}{told}" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("content", [b"", b"no certificate", None], ids=["empty", "text", "missing"])
def test_a_ca_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    said = failure("https://127.0.0.1:1", ConfigError, ca_file=path)
    assert said.startswith(f"ca_file {path} can't be used: ")
    assert "name a file with the certificate of a CA" in said


def test_a_client_calls_its_settings_by_its_own_names(certificates: Certificates) -> None:
    names = SettingNames("--url", "--ca-file")

    def told(serve: Serve, kind: type[PackratError] = ServerUnavailable, scheme: str = "http") -> str:
        with served(serve) as port:
            said = failure(f"{scheme}://127.0.0.1:{port}", kind, names=names)
        assert not re.search(r"packrat\]|\bhost\b|_timeout|ca_file|proxy in", said), said
        return said

    moved = b"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere.example.com/\r\nContent-Length: 0\r\n\r\n"
    assert told(say(moved), ServerBroken).endswith("; set --url to where the server really is")
    assert told(say(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")).endswith("(407); check --url")
    assert told(say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")).endswith("; check scheme, name and port of --url")
    assert (
        told(encrypt(certificates.context()), scheme="https")
        .partition("; ")[2]
        .startswith("set --ca-file to the certificate of the CA that issued it; ")
    )
    ended = threading.Event()
    with served(lambda _: ended.wait(120)) as port:
        said = failure(f"http://127.0.0.1:{port}", ServerUnavailable, names=names, timeouts=QUICK)
        assert said.endswith("no answer in time; find out what keeps the server busy")
        said = failure(f"https://127.0.0.1:{port}", ServerUnavailable, names=names, timeouts=NO_TLS)
        assert said.endswith("no firewall is in between, check --url")
        ended.set()
    said = failure("https://127.0.0.1:1", ConfigError, ca_file=Path("/nonexistent"), names=names)
    assert said.startswith("--ca-file /nonexistent can't be used: ")
