"""Starts a real nginx or a real Apache, set up as Debian does, with a site file as `packrat-agent site` prints it."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_agent.formats.interface import WebServer

# Those that Debian enables, `headers` and `ssl`.
_APACHE_MODULES = (
    *("mpm_event", "alias", "authn_core", "authz_core", "authz_host", "autoindex", "deflate", "dir", "env", "filter"),
    *("mime", "negotiation", "reqtimeout", "setenvif", "headers", "ssl"),
)
# Of Debian's settings those that change what is sent.
_APACHE_SETTINGS = (
    *("AddType text/html .html", "AddType text/plain .txt", "AddType application/x-gzip .gz", "AddLanguage fr .fr"),
    *("AddHandler type-map var", "AddOutputFilterByType DEFLATE text/html text/plain", "DirectoryIndex index.html"),
)

Started = tuple[subprocess.Popen[str], str]
"""A server, and what it says on stderr when it is ready."""


def start_on_free_port(start: Callable[[int], Started]) -> tuple[int, subprocess.Popen[str]]:
    """Start on a port that was free a moment ago; where somebody was faster, on another one."""
    told = ""
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        process, ready = start(port)
        told = ""
        assert process.stderr is not None
        for line in process.stderr:
            told += line
            if ready in line:
                return port, process
        process.wait(timeout=30)
        if "ddress already in use" not in told:
            break
    raise AssertionError(f"the web server did not start: {told}")


def _adapt(text: str, substitutes: dict[str, str]) -> str:
    """The site file as printed, with each text replaced that must be there."""
    for old, new in substitutes.items():
        assert old in text, f"the site file no longer has {old!r}"
        text = text.replace(old, new)
    return text


def _shown(line: str, site: str) -> str:
    """The port that a site file listens on."""
    found = re.search(line, site, re.MULTILINE)
    assert found is not None, "the site file listens nowhere"
    return found[1]


def start_nginx(site: str, place: Path, port: int, tls: bool = False) -> Started:
    """Start nginx with a site file for the host repo.example.com; `place` is for its own files, and holds tls.pem."""
    shown = _shown(r"^    listen (\d+);$", site)
    substitutes = {
        f"    listen [::]:{shown};\n": "",
        "    #listen [::]:443 ssl;\n": "",
        f"listen {shown};": "" if tls else f"listen 127.0.0.1:{port};",
        "/var/log/nginx/": f"{place}/log/",
    }
    if tls:
        substitutes |= {"#listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;", "#ssl_": "ssl_"} | _certificate(place)
    (place / "repo.nginx").write_text(_adapt(site, substitutes))
    # As Debian's nginx.conf has it.
    (place / "nginx.conf").write_text(
        f"daemon off; worker_processes 2; pid {place}/nginx.pid; error_log stderr notice; {_nginx_user()}\n"
        "events { worker_connections 768; }\n"
        "http { sendfile on; tcp_nopush on; types_hash_max_size 2048; include /etc/nginx/mime.types;\n"
        "default_type application/octet-stream; gzip on;\n"
        + "".join(
            f"{kind}_temp_path {place}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"include {place}/repo.nginx; }}\n"
    )
    command = ["nginx", "-p", str(place), "-e", "stderr", "-c", f"{place}/nginx.conf"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True), "start worker process "


def _nginx_user() -> str:
    return "user www-data;" if Path("/proc/self").stat().st_uid == 0 else ""


def _certificate(place: Path) -> dict[str, str]:
    return {
        "/etc/ssl/certs/repo.example.com.pem": f"{place}/tls.pem",
        "/etc/ssl/private/repo.example.com.key": f"{place}/tls.key",
    }


def start_apache(site: str, place: Path, port: int, tls: bool = False) -> Started:
    """Start Apache with a site file for the host repo.example.com; `place` is for its own files, and holds tls.pem."""
    shown = _shown(r"^<VirtualHost \*:(\d+)>$", site)
    substitutes = {
        f"<VirtualHost *:{shown}>": f"<VirtualHost 127.0.0.1:{port}>",
    }
    if shown != "80":
        substitutes |= {f"Listen {shown}\n": ""}
    if tls:
        substitutes |= {"#SSL": "SSL"} | _certificate(place)
    (place / "repo.apache").write_text(_adapt(site, substitutes))
    lines = [
        "ServerName localhost",
        "User www-data",
        "Group www-data",
        f"ServerRoot {place}",
        f"DefaultRuntimeDir {place}",
        f"PidFile {place}/apache.pid",
        f"Listen 127.0.0.1:{port}",
        "ErrorLog /dev/stderr",
        "LogLevel notice",
        *(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _APACHE_MODULES),
        "TypesConfig /dev/null",
        *_APACHE_SETTINGS,
        'LogFormat "%h %l %u %t \\"%r\\" %>s %O" combined',
        "AccessFileName .htaccess",
        "<Directory />",
        "Options FollowSymLinks",
        "AllowOverride None",
        "Require all denied",
        "</Directory>",
        f"Include {place}/repo.apache",
    ]
    (place / "apache.conf").write_text("\n".join(lines) + "\n")
    command = ["apache2", "-D", "FOREGROUND", "-f", f"{place}/apache.conf"]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "APACHE_LOG_DIR": f"{place}/log",
        "APACHE_RUN_DIR": str(place),
        "APACHE_LOCK_DIR": str(place),
    }
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    return process, "resuming normal operations"


@contextmanager
def front(server: WebServer, site: str, place: Path) -> Iterator[str]:
    """Serve a site file's root while the context lasts; gives the URL. `place`: an empty directory all can enter."""
    (place / "log").mkdir(exist_ok=True)
    start = {WebServer.NGINX: start_nginx, WebServer.APACHE: start_apache}[server]
    port, process = start_on_free_port(lambda port: start(site, place, port))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)
