"""The option --data, which every command takes that works on the data directory."""

from pathlib import Path

import click

from packrat_core.fs.ownership import refuse_root


def _refuse_root(_ctx: click.Context, _param: click.Parameter, data: Path) -> Path:
    """Stop root before it makes files in another user's data directory, which would stop that user's server."""
    own = [("the server's directory", data / name) for name in ("packrat.db", "database", "files")]
    refuse_root(own, [("the data directory", data)])
    return data


data_option = click.option(
    "--data",
    # Each command says itself why it can't be read.
    type=click.Path(path_type=Path, readable=False),
    callback=_refuse_root,
    default=Path("/var/lib/packrat-server"),
    show_default=True,
    envvar="PACKRAT_DATA",
    help="The server's data directory.",
)
