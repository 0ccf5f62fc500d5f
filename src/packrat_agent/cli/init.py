"""`packrat-agent init`: sets up a mirror, from the user and the key to the first sync and the site file."""

from pathlib import Path
from typing import Any

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.setup.answers import ROOT_DIR, STATE_DIR, USER
from packrat_core.cli.quick_import import quick_import

_PATH = click.Path(path_type=Path, readable=False)


@click.command("init")
@click.option("--server", help="The packrat server: a host name, or a URL.")
@click.option("--name", help="This mirror's name on the packrat server.")
@click.option(
    "--psk-file",
    type=_PATH,
    help="A file with the mirror's psk, `-` for stdin; an empty one for no psk.",
)
@click.option("--public-url", help="The address at which clients will reach this mirror.")
@click.option(
    "--key",
    metavar="FILE|ID",
    help="Sign with this secret key: a file, or the id of a key in the keyring. By default a key is made.",
)
@click.option("--no-key", is_flag=True, help="Sign nothing.")
@click.option("--passphrase-file", type=_PATH, help="Holds the passphrase of the key.")
@click.option(
    "--root-dir",
    type=_PATH,
    help=f"Where to build repositories.  [default: {ROOT_DIR}]",
)
@click.option(
    "--state-dir",
    type=_PATH,
    help=f"Where to keep state and keyring.  [default: {STATE_DIR}]",
)
@click.option("--user", help=f"The user that the agent runs as.  [default: {USER}]")
@click.option(
    "--proxy",
    envvar="PACKRAT_AGENT_PROXY",
    show_envvar=True,
    help="The HTTP proxy by which the packrat server is reached. One with a password belongs in the variable: others "
    "can see the command line.",
)
@click.option(
    "--ca-file",
    type=_PATH,
    help="CA certificates to trust for the packrat server.",
)
@click.option(
    "--web-server",
    type=click.Choice(["auto", "nginx", "apache", "none"]),
    default="auto",
    show_default=True,
    help="Which web server gets a site file.",
)
@click.option("--no-start", is_flag=True, help="Don't start the service.")
@click.option("--dry-run", is_flag=True, help="Show what would be made; change nothing.")
@config_option
@click.pass_obj
def init_command(config_path: Path, /, **given: Any) -> None:
    """Set up a mirror: user, directories, key, mirror.conf, first sync, site file, service.

    It asks for the packrat server, the mirror's name and psk there, and the address for clients, unless they are given
    as options. What can't work is refused before anything is changed. What exists already stays: after an error, run it
    again, and it continues.
    """
    with quick_import():
        from packrat_agent.cli.set_up import set_up

    set_up(config_path, given)
