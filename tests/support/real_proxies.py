"""Proxies that people really have between an agent and its server: forward proxies, and reverse proxies before it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.ports import held_port

_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class RealProxy:
    """A program that stands between agent and server.

    is_forward: the agent is told of it by `proxy`; else it stands in the server's place. command: directory, port and
    the server's host:port → the command line that runs it in the foreground.
    """

    program: str
    is_forward: bool
    command: Callable[[Path, int, str], Sequence[str]]


def _write(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def _tinyproxy(directory: Path, port: int, _server: str) -> Sequence[str]:
    # It closes each connection after one answer, and says so to nobody.
    text = f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Critical\n"
    return ("tinyproxy", "-d", "-c", _write(directory, "tinyproxy.conf", text))


def _squid(directory: Path, port: int, _server: str) -> Sequence[str]:
    text = (
        f"http_port 127.0.0.1:{port}\nhttp_access allow all\nvisible_hostname squid.example.com\npid_filename none\n"
        "access_log none\ncache_log /dev/null\ncache_store_log none\nnetdb_filename none\nmax_filedescriptors 1024\n"
        f"coredump_dir {directory}\nshutdown_lifetime 0 seconds\npinger_enable off\n"
        "client_idle_pconn_timeout 1 second\n"
    )
    return ("squid", "-N", "-f", _write(directory, "squid.conf", text))


def _haproxy(directory: Path, port: int, server: str) -> Sequence[str]:
    text = (
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        "  timeout http-keep-alive 1s\n"
        f"frontend front\n  bind 127.0.0.1:{port}\n  default_backend back\nbackend back\n  server packrat {server}\n"
    )
    return ("haproxy", "-db", "-q", "-f", _write(directory, "haproxy.cfg", text))


def _nginx(directory: Path, port: int, server: str) -> Sequence[str]:
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    spare = " ".join(f"{name}_temp_path {directory}/{name};" for name in names)
    text = (
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log /dev/null crit;\n"
        f"events {{}}\nhttp {{ access_log off; keepalive_timeout 1s; {spare}\n"
        # It compresses whatever it may.
        "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1; gzip_http_version 1.0;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{server}; }} }} }}\n"
    )
    return ("nginx", "-p", str(directory), "-c", _write(directory, "nginx.conf", text))


REAL_PROXIES = {
    "tinyproxy": RealProxy("tinyproxy", True, _tinyproxy),
    "squid": RealProxy("squid", True, _squid),
    "HAProxy": RealProxy("haproxy", False, _haproxy),
    "nginx": RealProxy("nginx", False, _nginx),
}


@contextmanager
def running_real_proxy(proxy: RealProxy, directory: Path, server_url: str) -> Iterator[str]:
    """Run a proxy; gives its URL.

    Args:
        proxy: Which one.
        directory: For its configuration; made if it is not there.
        server_url: The packrat server that a reverse proxy stands before.
    """
    directory.mkdir(exist_ok=True)
    with held_port() as port:
        command = list(proxy.command(directory, port, urlsplit(server_url).netloc))
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        command[0] = shutil.which(command[0], path=path) or command[0]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _await_port(process, port)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the proxy does not listen"
            assert process.poll() is None, f"the proxy ended with {process.returncode}"
