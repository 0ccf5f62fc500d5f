"""Installs the site file of a mirror in the nginx or Apache that this machine has, as Debian lays these out.

A site file that is there is never written over: its owner may have added a certificate to it.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.config.settings import MirrorSettings
from packrat_agent.formats.interface import WebServer
from packrat_agent.setup.commands import find_program, has_systemd, run_command
from packrat_agent.setup.listeners import find_listener
from packrat_agent.web.mirror_site import site_of, write_mirror_site
from packrat_agent.web.site_files import check_root
from packrat_core.errors import ConfigError
from packrat_core.fs.atomic import write_whole
from packrat_core.fs.disk_errors import as_disk_error


@dataclass(frozen=True, slots=True)
class InstalledServer:
    """A web server of this machine: where its site files are, the commands that enable and check one."""

    kind: WebServer
    service: str
    site: Path
    enabled: Path
    enable: tuple[tuple[str, ...], ...]
    check: tuple[str, ...]

    def is_enabled(self) -> bool:
        """Tell whether a site file is there, and the web server reads it."""
        return self.site.is_file() and self.enabled.exists()


_NGINX = InstalledServer(
    WebServer.NGINX,
    "nginx",
    Path("/etc/nginx/sites-available/repo"),
    Path("/etc/nginx/sites-enabled/repo"),
    (("ln", "-s", "../sites-available/repo", "/etc/nginx/sites-enabled/repo"),),
    ("nginx", "-t"),
)
_NGINX_ELSEWHERE = InstalledServer(
    WebServer.NGINX, "nginx", Path("/etc/nginx/conf.d/repo.conf"), Path("/etc/nginx/conf.d"), (), ("nginx", "-t")
)
_APACHE = InstalledServer(
    WebServer.APACHE,
    "apache2",
    Path("/etc/apache2/sites-available/repo.conf"),
    Path("/etc/apache2/sites-enabled/repo.conf"),
    (("a2enmod", "-q", "headers"), ("a2ensite", "-q", "repo")),
    ("apache2ctl", "configtest"),
)


def find_web_server(choice: str, mirror: MirrorSettings) -> InstalledServer | None:
    """Find the web server that is to serve a mirror.

    Args:
        choice: `nginx`, `apache`, `none`, or `auto`: the one that listens on the site's port, else the one that is
            installed, nginx where both are.
        mirror: Names the site's port.

    Returns:
        The web server; None if there is none, or none is wanted.

    Raises:
        ConfigError: The one that was asked for is not installed, another program listens on the site's port, or site
            files can't name root_dir.
    """
    if choice == "none":
        return None
    nginx = _NGINX if _NGINX.site.parent.is_dir() else _NGINX_ELSEWHERE
    programs = {nginx: "nginx", _APACHE: "apache2ctl"}
    installed = [server for server, program in programs.items() if find_program(program)]
    found = [server for server in installed if server.site.parent.is_dir() and choice in ("auto", server.kind.value)]
    if not found:
        if choice == "auto":
            return None
        raise ConfigError(f"{choice} is not installed", hint=f"install it, or leave out --web-server {choice}")
    check_root(mirror.root_dir)
    port = site_of(mirror).port
    listener = find_listener(port)
    chosen = next((server for server in found if server.service == listener), found[0])
    if listener is not None and listener != chosen.service and not chosen.is_enabled():
        raise ConfigError(
            f"{listener or 'a program of another user'} listens on port {port}, so {chosen.service} can't serve there",
            hint="stop that program, give --public-url another port, or serve the mirror by it with --web-server none",
        )
    return chosen


def install_site(server: InstalledServer, mirror: MirrorSettings) -> None:
    """Write the site file, enable it, and have the web server read it.

    Raises:
        ConfigError: The web server does not accept it, or does not come up with it; it is taken away again.
        DiskError: It can't be written.
    """
    if not server.site.exists():
        write_whole(server.site, write_mirror_site(mirror, server.kind).encode())
    try:
        for command in () if server.is_enabled() else server.enable:
            run_command(*command)
        run_command(*server.check)
    except ConfigError as error:
        # Otherwise the web server would not start again either.
        _disable(server)
        raise ConfigError(
            f"{server.service} does not accept the site file: {error.message}",
            hint="fix what it names, and run `packrat-agent init` again",
        ) from None
    try:
        _reload(server)
    except ConfigError:
        # Otherwise the next run would take this step for done, though nothing is served.
        _disable(server)
        raise


def _disable(server: InstalledServer) -> None:
    with suppress(FileNotFoundError), as_disk_error("remove", server.enabled):
        (server.enabled if server.enable else server.site).unlink()


def _reload(server: InstalledServer) -> None:
    """Have a web server read its configuration, and start it where it does not run.

    Raises:
        ConfigError: It can't be started.
    """
    # Its ports tell nothing: it may run, and serve others than that of the mirror.
    if has_systemd():
        run_command("systemctl", "reload-or-restart", server.service)
    else:
        run_command("service", server.service, "reload" if _runs(server) else "start")


def _runs(server: InstalledServer) -> bool:
    try:
        run_command("service", server.service, "status")
    except ConfigError:
        return False
    return True
