"""`packrat-server serve`: runs the server."""

from pathlib import Path

import click

from packrat_core.listen import parse_listen
from packrat_server.api.addresses import TrustedProxies
from packrat_server.api.serve_options import LOCAL, ServeOptions, read_origins
from packrat_server.cli.data_option import data_option


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
    "taken from X-Forwarded-For. The header is ignored where it comes from any other address.",
)
@click.option(
    "--access-log",
    type=click.Path(path_type=Path, readable=False),
    envvar="PACKRAT_ACCESS_LOG",
    show_envvar=True,
    help="Write a line for each request to this file, in the combined log format of web servers.",
)
@click.option(
    "--public",
    is_flag=True,
    envvar="PACKRAT_PUBLIC",
    show_envvar=True,
    help="Everybody may read all records and files without a login, as on the original server; agents need no psk. "
    "Uploads and other changes still need a login.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    envvar="PACKRAT_CORS_ORIGIN",
    show_envvar=True,
    metavar="ORIGIN",
    help="Pages of this origin, such as https://packages.example.com, may call the API from a browser; * for all; may "
    "be repeated.",
)
@click.option(
    "--metrics-from",
    default=LOCAL,
    show_default=True,
    envvar="PACKRAT_METRICS_FROM",
    show_envvar=True,
    metavar="ADDRESS,…",
    help="Addresses or networks that may read /metrics, which names the mirrors. /health is open to everybody.",
)
def serve_command(
    data: Path,
    listen: str,
    trusted_proxies: str,
    access_log: Path | None,
    public: bool,
    cors_origins: tuple[str, ...],
    metrics_from: str,
) -> None:
    """Serve the API until SIGTERM."""
    host, port = parse_listen(listen)
    options = ServeOptions(
        TrustedProxies(trusted_proxies),
        access_log,
        public,
        read_origins(cors_origins),
        TrustedProxies(metrics_from, "--metrics-from"),
    )
    # Options that can't be used are refused before that.
    from packrat_server.serving.running import serve

    serve(data, host, port, options)
