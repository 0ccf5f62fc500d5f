"""listen: addresses as people write them, and sockets on each address of a name."""

import errno
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from packrat_core.errors import ConfigError
from packrat_core.listen import open_listeners, parse_listen, show_url

_IPV6 = {"": "::", "localhost": "::1"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", ("", 8080)),
        (":8080", ("", 8080)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (" [::1]:8080 ", ("::1", 8080)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:65536", "::1:80", "a b:80", "[host]:80", "host:-1"])
def test_anything_but_an_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        parse_listen(text)


def test_a_name_is_listened_on_at_all_its_addresses_with_one_port() -> None:
    expected = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    listeners = open_listeners("localhost", 0, "--listen")
    try:
        assert {listener.getsockname()[0] for listener in listeners} == expected
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
        for listener in listeners:
            socket.create_connection(listener.getsockname()[:2]).close()
    finally:
        for listener in listeners:
            listener.close()


def test_without_a_host_every_address_is_listened_on() -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in open_listeners("", 0, "--listen")]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, listeners[0].getsockname()[1])).close()


@pytest.mark.parametrize("host", ["", "localhost"])
@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_machine_without_ipv6_listens_at_its_ipv4_addresses(
    monkeypatch: pytest.MonkeyPatch, host: str, code: int
) -> None:
    found = [(socket.AF_INET6, 0, 0, "", (_IPV6[host], 0, 0, 0)), (socket.AF_INET, 0, 0, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **more: found)

    class WithoutIpv6(socket.socket):
        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(code, "no IPv6")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    with ExitStack() as stack:
        (listener,) = [stack.enter_context(made) for made in open_listeners(host, 0, "--listen")]
        assert listener.getsockname()[0] == "127.0.0.1"
    # Another address that this machine doesn't have is a mistake.
    found[0] = (socket.AF_INET6, 0, 0, "", ("2001:db8::1", 0, 0, 0))
    with pytest.raises(ConfigError, match="no IPv6"):
        open_listeners(host, 0, "--listen")


def test_a_port_that_is_free_on_one_address_only_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [(socket.AF_INET, 0, 0, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **more: addresses)
    with ExitStack() as stack:
        taken: list[int] = []

        class Faster(socket.socket):
            """While nothing is taken, another program listens on the second address as soon as we do on the first."""

            def listen(self, backlog: int = 1) -> None:
                super().listen(backlog)
                if not taken:
                    taken.append(self.getsockname()[1])
                    stack.enter_context(socket.create_server(("127.0.0.2", taken[0])))

        monkeypatch.setattr(socket, "socket", Faster)
        listeners = open_listeners("both", 0, "--listen")
        names = [stack.enter_context(listener).getsockname() for listener in listeners]
        [port] = {port for _, port in names}
        assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
        assert [port] != taken


def test_a_port_that_is_taken_is_reported_with_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf":{port} can't be listened on: .*in use.*; change --listen"):
            open_listeners("127.0.0.1", port, "--listen")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"can't be listened on: .*; change metrics_listen"):
        open_listeners(host, 0, "metrics_listen")


def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    assert show_url("", 80) == "http://0.0.0.0:80"
    assert show_url("::1", 80) == "http://[::1]:80"
    assert show_url("127.0.0.1", 80) == "http://127.0.0.1:80"
