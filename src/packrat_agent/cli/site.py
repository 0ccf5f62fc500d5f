"""`packrat-agent site`: prints the site file for nginx or Apache."""

from pathlib import Path

import click

from packrat_agent.config.load import load
from packrat_agent.formats.interface import WebServer
from packrat_agent.web.mirror_site import write_mirror_site


@click.command("site")
@click.argument("server", type=click.Choice([web_server.value for web_server in WebServer]))
@click.option("--host", help="The site's host name; by default that of public_url.")
@click.pass_obj
def site_command(config_path: Path, server: str, host: str | None) -> None:
    """Print the site file for nginx or Apache. Run it again when repositories were added."""
    click.echo(write_mirror_site(load(config_path).mirror, WebServer(server), host), nl=False)
