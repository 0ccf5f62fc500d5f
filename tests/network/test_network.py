"""How the server is reached: TLS, proxies, IPv6, timeouts, limits; real sockets, certificates made by openssl."""

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.entries import Placement, Plan
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.fetch.download import Fetched, Retries, fetch, to_stage
from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_core.cinp.client import CinpClient, DownloadLimits
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import PackratError, ServerBroken, ServerRefused, ServerUnavailable
from support.certificates import Certificates, make_certificates
from support.mirror_conf import write_mirror_conf
from support.original_server import OriginalServer, original_server
from support.ports import has_ipv6
from support.proxy import running_proxy

REPO = Repo("r", "R", "repo", "apt", ())
CONTENT = bytes(range(256)) * 8192


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def by_config(directory: Path, url: str, packrat: str = "", mirror: str = "") -> Callable[[], Awaitable[int]]:
    """Ask for the mirror the way that a configuration says; gives the number of its repositories."""
    path = write_mirror_conf(directory, url, packrat=f"psk: lab_psk\n{packrat}", mirror=mirror)

    async def ask() -> int:
        async with connected(load(path)) as server:
            return len((await server.view()).repos)

    return ask


def reach(directory: Path, url: str, packrat: str = "") -> int:
    async def ask() -> int:
        return await by_config(directory, url, packrat)()

    return asyncio.run(ask())


# TLS


def test_https_is_trusted_by_ca_file(tmp_path: Path, certificates: Certificates) -> None:
    with original_server(tls=certificates.context()) as server:
        assert server.url.startswith("https://")
        assert reach(tmp_path, server.url, f"ca_file: {certificates.ca}") == 1


def test_https_is_trusted_by_the_systems_store(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with original_server(tls=certificates.context()) as server:
        with pytest.raises(ServerUnavailable, match=r"not trusted .*set ca_file"):
            reach(tmp_path, server.url)
        assert server.count() == 0
        # The system's store is where OpenSSL's own variable says.
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        assert reach(tmp_path, server.url) == 1


def test_a_certificate_of_another_host_is_not_trusted(tmp_path: Path, certificates: Certificates) -> None:
    with original_server(host="127.0.0.2", tls=certificates.context()) as server:
        with pytest.raises(ServerUnavailable, match="not trusted"):
            reach(tmp_path, server.url, f"ca_file: {certificates.ca}")
        assert server.count() == 0


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_server_is_reached_at_an_address_of_ipv6(tmp_path: Path, certificates: Certificates) -> None:
    with original_server(host="::1", tls=certificates.context()) as server:
        assert server.url.startswith("https://[::1]:")
        assert reach(tmp_path, server.url, f"ca_file: {certificates.ca}") == 1


# Proxies


@pytest.mark.parametrize("password", [None, "us er:p@ss:word"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_with_and_without_a_password(
    tmp_path: Path, certificates: Certificates, tls: bool, password: str | None
) -> None:
    with original_server(tls=certificates.context() if tls else None) as server, running_proxy(password) as proxy:
        server.users["lab"] = "lab_psk"
        user = "us%20er:p%40ss%3Aword@" if password else ""
        lines = f"proxy: http://{user}127.0.0.1:{proxy.port}\n" + (f"ca_file: {certificates.ca}" if tls else "")
        assert reach(tmp_path, server.url, lines) == 1
        assert server.count("CALL /api/v2/Auth/User(login)") == 1
        assert all(head.startswith("CONNECT ") for head in proxy.heads) == tls
        assert len(proxy.heads) == server.count()
        # Who carries a tunnel learns neither psk nor session, the server no password of the proxy.
        if tls:
            assert not any("auth-token" in head.lower() for head in proxy.heads)
        assert not any("proxy-authorization" in request.headers for request in server.asked)


@pytest.mark.parametrize("tls", [False, True])
def test_a_wrong_password_for_the_proxy_is_reported_as_such(
    tmp_path: Path, certificates: Certificates, tls: bool
) -> None:
    with original_server(tls=certificates.context() if tls else None) as server, running_proxy("a:b") as proxy:
        with pytest.raises(ServerUnavailable, match=r"proxy.*407") as told:
            reach(tmp_path, server.url, f"proxy: http://a:secret@127.0.0.1:{proxy.port}\nca_file: {certificates.ca}")
        assert "secret" not in str(told.value)
        assert server.count() == 0


def test_a_proxy_that_is_dead_is_reported_as_such(tmp_path: Path, original: OriginalServer) -> None:
    with running_proxy() as proxy:
        proxy.die()
        with pytest.raises(ServerUnavailable, match=r"the proxy http\S+ can't be reached: .*check proxy"):
            reach(tmp_path, original.url, f"proxy: {proxy.url}")
        assert original.count() == 0


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("127.0.0.1", True), ("10.0.0.0/8, 127.0.0.0/8", True), ("*", True), ("example.com, 10.0.0.0/8", False)],
)
def test_hosts_in_no_proxy_are_reached_directly(
    tmp_path: Path, original: OriginalServer, no_proxy: str, direct: bool
) -> None:
    with running_proxy() as proxy:
        assert reach(tmp_path, original.url, f"proxy: {proxy.url}\nno_proxy: {no_proxy}") == 1
        assert (not proxy.heads) == direct


def test_the_proxies_of_the_environment_are_not_used(
    tmp_path: Path, original: OriginalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_proxy() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert reach(tmp_path, original.url) == 1
        assert proxy.heads == []


# Secrets go to the origin only


@pytest.mark.parametrize("path", ["/api/v2/Repo/Mirror:lab:", "/files/first_1_all.deb"])
def test_a_redirect_is_not_followed(tmp_path: Path, original: OriginalServer, path: str) -> None:
    async def ask() -> None:
        async with CinpClient(original.url) as client:
            server = Packrat(client, "lab", "lab_psk")
            await server.open()
            original.manners.redirect = elsewhere.url
            if path.startswith("/files"):
                async with server.open_file(path, 0):
                    pass
            else:
                await server.view()

    with original_server() as elsewhere:
        with pytest.raises(ServerBroken, match="redirects are not followed"):
            asyncio.run(ask())
        assert elsewhere.count() == 0


def test_a_login_that_is_redirected_tells_the_psk_to_nobody_else(tmp_path: Path, original: OriginalServer) -> None:
    with original_server() as elsewhere:
        original.manners.redirect = elsewhere.url
        with pytest.raises(PackratError, match="302"):
            reach(tmp_path, original.url)
        assert elsewhere.count() == 0


# Time


@contextmanager
def listening() -> Iterator[int]:
    """A port whose connections are accepted by the kernel and never looked at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        yield listener.getsockname()[1]


QUICK = Timeouts(connect_s=0.3, stall_s=0.3, total_s=5.0)


def ask_root(url: str, proxy: str | None = None) -> None:
    async def ask() -> None:
        async with CinpClient(url, proxy=proxy, timeouts=QUICK) as client:
            await Packrat(client, "lab", None).open()

    asyncio.run(asyncio.wait_for(ask(), 120))


def test_a_handshake_that_never_ends_is_given_up() -> None:
    with listening() as port, pytest.raises(ServerUnavailable, match="no answer in time"):
        ask_root(f"https://127.0.0.1:{port}")


def test_a_proxy_that_never_answers_is_given_up() -> None:
    with running_proxy() as proxy:
        proxy.silent = True
        with pytest.raises(ServerUnavailable):
            ask_root("https://127.0.0.1:9", proxy.url)
        with pytest.raises(ServerUnavailable):
            ask_root("http://127.0.0.1:9", proxy.url)


def test_a_server_that_never_answers_is_given_up(original: OriginalServer) -> None:
    original.manners.silent = True
    with pytest.raises(ServerUnavailable, match="no answer in time"):
        ask_root(original.url)


def test_the_timeouts_of_the_configuration_are_used(tmp_path: Path, original: OriginalServer) -> None:
    original.manners.silent = True
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match="no answer in time"):
        reach(tmp_path, original.url, "stall_timeout: 5")
    assert 5 <= time.monotonic() - began < 50


# Downloads


def get(
    server: OriginalServer, staging: Path, contents: dict[str, bytes], rate: int | None = None
) -> tuple[Fetched, list[dict[str, str]]]:
    """Fetch files of a server; gives what came, and the headers of each request for a file."""
    staging.mkdir(exist_ok=True)
    placements = []
    for name, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        file = PackageFile(f"/uri/{name}", "p", "bookworm", "1", "deb", "all", f"/files/{name}", name, sha256)
        placements.append(Placement(file, f"repo/{name}"))

    async def work() -> Fetched:
        timeouts = Timeouts(connect_s=30, stall_s=30)
        async with CinpClient(server.url, timeouts=timeouts, downloads=DownloadLimits(rate)) as client:
            packrat = Packrat(client, "lab", None)
            retries = Retries(wait_s=(0.0, 0.0))
            plan = Plan(REPO, (), tuple(placements), (), (), (), {}, {}, {})
            with SharedDownloads(4).share(staging, urgent=True) as share:
                share.want(to_stage(plan))
                return await fetch(plan, share, staging, packrat.open_file, lambda files, size: None, retries)

    fetched = asyncio.run(work())
    return fetched, [request.headers for request in server.asked if request.target.startswith("/files/")]


def test_a_cut_download_is_resumed_by_range_and_validator(tmp_path: Path, original: OriginalServer) -> None:
    original.put("a", "1", "a", CONTENT)
    original.manners.resumable = True
    original.manners.cut_files = 2
    fetched, asked = get(original, tmp_path / "staging", {"a": CONTENT})
    assert [staged.read_bytes() for staged in fetched.staged.values()] == [CONTENT]
    half = len(CONTENT) // 2
    etag = f'"{hashlib.sha256(CONTENT).hexdigest()[:8]}"'
    assert [(headers.get("range"), headers.get("if-range")) for headers in asked] == [
        (None, None),
        (f"bytes={half}-", etag),
        (f"bytes={half + half // 2}-", etag),
    ]


def test_a_file_that_is_replaced_during_the_download_comes_whole(tmp_path: Path, original: OriginalServer) -> None:
    number = original.put("a", "1", "a", CONTENT[::-1])
    original.manners.resumable = True
    original.manners.cut_files = 1

    def replace() -> None:
        original.files[number].content = CONTENT

    original.manners.after_file = replace
    fetched, asked = get(original, tmp_path / "staging", {"a": CONTENT})
    assert [staged.read_bytes() for staged in fetched.staged.values()] == [CONTENT]
    assert len(asked) == 2


def test_a_server_without_range_is_asked_for_all_of_it(tmp_path: Path, original: OriginalServer) -> None:
    original.put("a", "1", "a", CONTENT)
    original.manners.cut_files = 2
    fetched, asked = get(original, tmp_path / "staging", {"a": CONTENT})
    assert [staged.read_bytes() for staged in fetched.staged.values()] == [CONTENT]
    assert len(asked) == 3


def test_a_file_that_is_always_cut_ends_after_a_few_tries_and_stops_no_other(
    tmp_path: Path, original: OriginalServer
) -> None:
    original.put("a", "1", "a", CONTENT)
    original.manners.cut_files = 1000
    fetched, asked = get(original, tmp_path / "staging", {"a": CONTENT})
    assert [type(error) for error in fetched.failed.values()] == [ServerUnavailable]
    assert len(asked) == 6
    original.manners.cut_files = 0
    original.put("b", "1", "b", b"b")
    fetched, _ = get(original, tmp_path / "staging", {"a": CONTENT, "b": b"b", "gone": b"c"})
    assert len(fetched.staged) == 2
    assert [type(error).__base__ for error in fetched.failed.values()] == [ServerRefused]


def test_the_rate_limit_holds_over_all_downloads(tmp_path: Path, original: OriginalServer) -> None:
    contents = {f"f{number}": bytes([number]) * 100_000 for number in range(6)}
    for name, content in contents.items():
        original.put("p", "1", name, content)
    began = time.monotonic()
    fetched, _ = get(original, tmp_path / "staging", contents, rate=300_000)
    assert len(fetched.staged) == 6
    # 600,000 bytes, of which a quarter of a second's worth may come at once.
    assert time.monotonic() - began >= 600_000 / 300_000 - 0.25


def test_no_socket_is_left_behind(tmp_path: Path, original: OriginalServer) -> None:
    def sockets() -> int:
        found = 0
        for link in Path("/proc/self/fd").iterdir():
            # The server's thread may close it first.
            with suppress(OSError):
                found += "socket:" in str(link.readlink())
        return found

    original.put("a", "1", "a", CONTENT)
    reach(tmp_path, original.url)
    before, threads = sockets(), threading.active_count()
    for _ in range(5):
        original.manners.cut_files = 1
        get(original, tmp_path / "staging", {"a": CONTENT})
        (tmp_path / "staging" / hashlib.sha256(CONTENT).hexdigest()).unlink()
        reach(tmp_path, original.url)
    # The server runs in this process too; its side of a connection may take a moment to go.
    until = time.monotonic() + 60
    while sockets() > before + 2 or threading.active_count() > threads + 2:
        assert time.monotonic() < until, (sockets(), before, threading.active_count(), threads)
        threading.Event().wait(0.01)
