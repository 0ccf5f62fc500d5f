"""The option --data, which every command takes that works on the data directory."""

from pathlib import Path

import click

from packrat_core.fs.ownership import refuse_root


def check_owner(data: Path) -> None:
    """Stop root before it makes files in another user's data directory, which would stop that user's server.

    Raises:
        ConfigError: Root runs this, and the directory belongs to somebody else.
    """
    own = [("the server's directory", data / name) for name in ("packrat.db", "database", "files")]
    refuse_root(own, [("the data directory", data)])


def _refuse_root(_ctx: click.Context, _param: click.Parameter, data: Path) -> Path:
    check_owner(data)
    return data


DEFAULT_DATA = Path("/var/lib/packrat-server")


data_option = click.option(
    "--data",
    # Each command says itself why it can't be read.
    type=click.Path(path_type=Path, readable=False),
    callback=_refuse_root,
    default=DEFAULT_DATA,
    show_default=True,
    envvar="PACKRAT_DATA",
    help="The server's data directory.",
)
