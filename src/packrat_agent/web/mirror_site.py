"""Writes the site file of a mirror, with the rules of the repositories that its state database knows."""

import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from packrat_agent.config.settings import MirrorSettings
from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.table import FORMATS
from packrat_agent.state.database import copy_database
from packrat_agent.state.store import Store
from packrat_agent.web.site_files import HTTP_PORT, Site, write_site


def this_host() -> str:
    """Give the name of this machine, with its domain where that is known."""
    return socket.getfqdn()


def site_of(mirror: MirrorSettings, host: str | None = None) -> Site:
    """Tell where clients find a mirror without TLS; `host` is the site's host name, by default that of public_url."""
    public = urlsplit(mirror.public_url or "")
    port = public.port if public.scheme == "http" else None
    found = host or public.hostname or this_host()
    # As it stands in a request: an address of IPv6 in brackets.
    return Site(f"[{found}]" if ":" in found and not found.startswith("[") else found, port or HTTP_PORT)


def write_mirror_site(mirror: MirrorSettings, server: WebServer, host: str | None = None) -> str:
    """Write the site file for a web server; it only reads.

    Args:
        mirror: The settings of the mirror.
        server: The web server.
        host: The site's host name; None for that of public_url.

    Raises:
        ConfigError: root_dir has characters that can't stand in a site file.
        DiskError: The state database can't be read.
    """
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        store = Store(copy_database(mirror.state_db, Path(scratch) / "state.db"))
        repos = store.repos.all()
        store.close()
    return write_site(server, mirror.root_dir, site_of(mirror, host), repos, FORMATS)
