"""`packrat-server serve`: runs the server."""

from pathlib import Path

import click

from packrat_core.listen import parse_listen
from packrat_server.api.addresses import TrustedProxies
from packrat_server.cli.data_option import data_option
from packrat_server.serving.running import serve


@click.command("serve")
@data_option
@click.option("--listen", default="127.0.0.1:8888", show_default=True, help="HOST:PORT to serve the API on.")
@click.option(
    "--trusted-proxies",
    default="",
    envvar="PACKRAT_TRUSTED_PROXIES",
    show_envvar=True,
    metavar="ADDRESS,…",
    help="Addresses or networks of the reverse proxies in front, such as 127.0.0.1: the addresses of their clients are "
    "taken from X-Forwarded-For. From all others the header counts for nothing.",
)
def serve_command(data: Path, listen: str, trusted_proxies: str) -> None:
    """Serve the API until SIGTERM."""
    host, port = parse_listen(listen)
    serve(data, host, port, TrustedProxies(trusted_proxies))
