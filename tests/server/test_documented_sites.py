"""The documented sites for nginx and Apache in front of packrat-server: they work, and their limits hold."""

import http.client
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_server.accounts.login_delays import FREE_FAILURES
from packrat_server.api.body_limits import LARGE_BYTES
from server.test_several_processes import other_process
from support.web_servers import start_on_free_port
from support.world import SECRETS, World, world

DOC = (Path(__file__).parents[2] / "docs/web-servers.md").read_text().partition("## The packrat server on")[2]
MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "reqtimeout")
LOGIN = "/api/v2/Auth/User(login)"


def documented(kind: str, changes: dict[str, str]) -> str:
    """The block of the documentation, with each text replaced that must be there."""
    (site,) = re.findall(rf"^```{kind}\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)
    for old, new in changes.items():
        assert old in site, f"the site no longer has {old!r}"
        site = site.replace(old, new)
    return str(site)


def start_nginx(place: Path, server: str, port: int) -> tuple["subprocess.Popen[str]", str]:
    changes = {"listen 80;": f"listen 127.0.0.1:{port};", "127.0.0.1:8888": server}
    site = documented("nginx", changes | {"client_header_timeout 10s": "client_header_timeout 1s"})
    temporary = "".join(
        f"{kind}_temp_path {place}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (place / "nginx.conf").write_text(
        f"daemon off; pid {place}/nginx.pid; error_log stderr notice;\nevents {{ worker_connections 768; }}\n"
        f"http {{ access_log off; {temporary} {site} }}\n"
    )
    command = ["nginx", "-p", str(place), "-e", "stderr", "-c", f"{place}/nginx.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True), "start worker process "


def start_apache(place: Path, server: str, port: int) -> tuple["subprocess.Popen[str]", str]:
    changes = {"*:80": f"127.0.0.1:{port}", "127.0.0.1:8888": server}
    site = documented("apache", changes | {"header=10,MinRate=500": "header=1"})
    modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in MODULES)
    (place / "apache.conf").write_text(
        f"ServerName localhost\nUser www-data\nGroup www-data\nServerRoot {place}\nDefaultRuntimeDir {place}\n"
        f"PidFile {place}/apache.pid\nListen 127.0.0.1:{port}\nErrorLog /dev/stderr\nLogLevel notice\n{modules}{site}"
    )
    command = ["apache2", "-D", "FOREGROUND", "-f", f"{place}/apache.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True), "resuming normal operations"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        world(tmp_path_factory.mktemp("world")) as made,
        other_process(made, "--trusted-proxies", "127.0.0.1") as other,
    ):
        yield other


@contextmanager
def behind(
    server: World, place: Path, start: Callable[[Path, str, int], tuple["subprocess.Popen[str]", str]]
) -> Iterator[World]:
    host = server.url.removeprefix("http://")
    port, process = start_on_free_port(lambda port: start(place, host, port))
    try:
        yield World(server.data, f"http://127.0.0.1:{port}", server.tokens)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("start", [start_nginx, start_apache])
def test_the_documented_site_works_within_its_limits(
    server: World, tmp_path: Path, start: Callable[[Path, str, int], tuple["subprocess.Popen[str]", str]]
) -> None:
    name = "lab" if start is start_nginx else "prod"
    with behind(server, tmp_path, start) as proxy:
        assert proxy.call("GET", f"/api/v2/Repo/Mirror:{name}:", None, name).status == 200
        # What the server tells line by line is not held back.
        target = f"/api/v2/Repo/Mirror:{name}:(changes)"
        asked = {"position": None, "timeout": 0}
        asked = {"position": proxy.call("CALL", target, asked, name).value["position"], "timeout": 200, "stream": True}
        headers = {"CInP-Version": "0.9", "Content-Type": "application/json", **proxy.auth(name)}
        following = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
        following.request("CALL", target, json.dumps(asked), headers)
        with following.getresponse() as lines:
            assert json.loads(lines.readline()) == {"position": asked["position"], "changes": {}}
            assert lines.readline() == b"\n"
        following.close()
        # The largest bodies of the API, and uploads of any size, go through; larger ones don't.
        filtered = {"Filter": "repo", "CInP-Version": "0.9", "Content-Type": "application/json", **proxy.auth("root")}
        body = b'{"repo": "/api/v2/Repo/Repo:apt-dev:", "package_list": ["hello"]}'.ljust(LARGE_BYTES)
        assert proxy.ask("LIST", "/api/v2/Package/PackageFile", filtered, body).status == 200
        assert proxy.ask("LIST", "/api/v2/Package/PackageFile", filtered, body + b" ").status == 413
        assert proxy.upload("x_1.0.json", b" " * (LARGE_BYTES + 1)).status == 202
        # Who may not upload is told so, although the body is still coming when the server answers.
        for _ in range(5):
            assert proxy.ask("POST", "/api/upload", proxy.auth(name), bytes(LARGE_BYTES)).status == 403
        # Addresses are those of the clients, whatever they claim.
        stranger = replace(proxy, source="127.0.0.2")
        for number in range(FREE_FAILURES + 4):
            login = {"username": name, "password": f"guess {number}"}
            last = stranger.call("CALL", LOGIN, login, None, X_Forwarded_For=f"10.0.0.{number}, 127.0.0.1")
            if last.status == 429:
                break
        assert last.status == 429
        right = {"username": name, "password": SECRETS[name]}
        assert proxy.call("CALL", LOGIN, right, None).status == 200
        # A request whose head doesn't come ends.
        host, _, port = proxy.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as slow, suppress(ConnectionResetError):
            slow.sendall(b"GET / HTTP/1.1\r\nHost: packrat.example.com\r\nX-Slow: ")
            while slow.recv(4096):
                pass
