"""`packrat-agent site`: prints the site file for nginx or Apache."""

from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.formats.interface import WebServer
from packrat_core.cli.quick_import import quick_import
from packrat_core.cli.tell_next import tell_next

_ENABLE = {
    WebServer.NGINX: "write it to /etc/nginx/sites-available/repo, link that into sites-enabled, then `nginx -t` and "
    "`systemctl reload nginx`",
    WebServer.APACHE: "write it to /etc/apache2/sites-available/repo.conf, then `a2enmod headers`, `a2ensite repo`, "
    "`apache2ctl configtest` and `systemctl reload apache2`",
}


@click.command("site")
@click.argument("server", type=click.Choice([web_server.value for web_server in WebServer]))
@click.option("--host", help="The site's host name; by default that of public_url.")
@config_option
@click.pass_obj
def site_command(config_path: Path, server: str, host: str | None) -> None:
    """Print the site file for nginx or Apache. Run it again after repositories are added."""
    with quick_import():
        from packrat_agent.config.load import load
        from packrat_agent.web.mirror_site import write_mirror_site

    click.echo(write_mirror_site(load(config_path).mirror, WebServer(server), host), nl=False)
    # Where it goes to a file, the operator does the rest by hand.
    tell_next(_ENABLE[WebServer(server)])
