"""The option --data, which every command takes that works on the data directory."""

from pathlib import Path

import click

from packrat_core.errors import ConfigError
from packrat_core.fs.ownership import explain_as_owner, refuse_root


def check_owner(data: Path) -> None:
    """Stop root before it makes files in another user's data directory, which would stop that user's server.

    Other users can't look into it; that is meant, so they are told whose it is, and not how to open it.

    Raises:
        ConfigError: The directory belongs to somebody else, and this is root or a user to whom it is closed.
    """
    own = [("the server's directory", data / name) for name in ("packrat.db", "database", "files")]
    refuse_root(own, [("the data directory", data)])
    if (closed := explain_as_owner(data, data / "packrat.db", data / "database")) is not None:
        raise ConfigError(closed)


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
