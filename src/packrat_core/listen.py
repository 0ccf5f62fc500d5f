"""Reads HOST:PORT as people write it, and opens the sockets that listen there.

host, port = parse_listen("127.0.0.1:8080")
sockets = open_listeners(host, port, "--listen")
"""

import errno
import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

from packrat_core.errors import ConfigError

_LISTEN = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]*):)?(?P<port>[0-9]{1,5})")
QUEUED_CONNECTIONS = 1024
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted before those accepted earlier are counted; few, so that they fit into the limit."""
_TRIES = 20
_IPV6_OF_EVERY_MACHINE = ("::", "::1")
_WITHOUT_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def parse_listen(text: str, setting: str = "--listen") -> tuple[str, int]:
    """Split `8080`, `:8080`, `127.0.0.1:8080`, `[::1]:8080`; without a host, every address of this machine is meant.

    Raises:
        ConfigError: It is not of that form.
    """
    match = _LISTEN.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise ConfigError(
            f"{setting}: {text[:100]!r} is not HOST:PORT", hint="give an address such as 127.0.0.1:8080 or [::1]:8080"
        )
    host = (match["host"] or "").strip("[]")
    return host, int(match["port"])


def show_url(host: str, port: int) -> str:
    """Write the URL of a listener, without a slash at its end."""
    host = host or "0.0.0.0"  # noqa: S104 only shown
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def open_listeners(host: str, port: int, setting: str) -> list[socket.socket]:
    """Listen on each address of a host.

    Args:
        host: A name or an address; '' for every address of this machine.
        port: The port; 0 for any free one, the same on all addresses.
        setting: The option or key that chooses the address, for the message.

    Raises:
        ConfigError: The host is unknown, or the port can't be had.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        for _ in range(0 if port else _TRIES - 1):
            # A port that is free on the first address may be taken on another one.
            with suppress(OSError):
                return _listen_at(addresses, 0)
        return _listen_at(addresses, port)
    except (OSError, UnicodeError) as error:
        raise _explain(error, host, port, setting) from None


def _listen_at(addresses: Sequence[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        for family, address in addresses:
            same = port or (listeners[0].getsockname()[1] if listeners else 0)
            try:
                # Of several addresses, the IPv4 ones have sockets of their own.
                listener = _bind(family, (address[0], same, *address[2:]), v6only=len(addresses) > 1)
            except OSError as error:
                # /etc/hosts gives `localhost` both, as in most containers, also where this machine has no IPv6.
                if len(addresses) > 1 and address[0] in _IPV6_OF_EVERY_MACHINE and error.errno in _WITHOUT_IPV6:
                    continue
                raise
            listeners.append(opened.enter_context(listener))
            listener.listen(QUEUED_CONNECTIONS)
        opened.pop_all()
    return listeners


def _bind(family: int, address: tuple[Any, ...], *, v6only: bool) -> socket.socket:
    # asyncio sets TCP_NODELAY only if the protocol is named; else each answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and v6only:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener


def _explain(error: OSError | UnicodeError, host: str, port: int, setting: str) -> ConfigError:
    where = f"{host}:{port} can't be listened on"
    if isinstance(error, UnicodeError):
        # A name that DNS does not allow, such as one with a part of more than 63 characters.
        return ConfigError(f"{where}: it is not a valid host name", hint=f"change {setting}")
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"{where}: the port is in use by another program", hint=f"change {setting}")
    if error.errno == errno.EACCES:
        return ConfigError(f"{where}: the port needs root", hint=f"set {setting} to one above 1023")
    return ConfigError(f"{where}: {error.strerror or error}", hint=f"change {setting}")
