"""`packrat-server serve`: runs the server."""

from pathlib import Path

import click

from packrat_core.listen import parse_listen
from packrat_server.cli.data_option import data_option
from packrat_server.serving.running import serve


@click.command("serve")
@data_option
@click.option("--listen", default="127.0.0.1:8888", show_default=True, help="HOST:PORT to serve the API on.")
def serve_command(data: Path, listen: str) -> None:
    """Serve the API until SIGTERM."""
    host, port = parse_listen(listen)
    serve(data, host, port)
