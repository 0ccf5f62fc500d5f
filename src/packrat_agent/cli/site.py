"""`packrat-agent site`: prints the site file for nginx or Apache."""

import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import click

from packrat_agent.config.load import load
from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.table import FORMATS
from packrat_agent.state.database import copy_database
from packrat_agent.state.store import Store
from packrat_agent.web.site_files import Site, write_site


@click.command("site")
@click.argument("server", type=click.Choice([web_server.value for web_server in WebServer]))
@click.option("--host", help="The site's host name; by default that of public_url.")
@click.pass_obj
def site_command(config_path: Path, server: str, host: str | None) -> None:
    """Print the site file for nginx or Apache. Run it again when repositories were added."""
    mirror = load(config_path).mirror
    public = urlsplit(mirror.public_url or "")
    name = host or public.hostname or socket.getfqdn()
    port = public.port if public.scheme == "http" else None
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        store = Store(copy_database(mirror.state_db, Path(scratch) / "state.db"))
        repos = store.wanted.repos()
        store.close()
    click.echo(write_site(WebServer(server), mirror.root_dir, Site(name, port or 80), repos, FORMATS), nl=False)
