"""`packrat-server init`: makes a new server."""

from pathlib import Path

import click

from packrat_core.cli.tell_next import tell_next
from packrat_server.cli.data_option import data_option
from packrat_server.cli.next_step import command_line


@click.command("init")
@click.option(
    "--database",
    metavar="URL",
    envvar="PACKRAT_DATABASE",
    show_envvar=True,
    help="An empty PostgreSQL database for the records, postgresql://USER@HOST:PORT/NAME; the data directory remembers "
    "it. By default the records are in an SQLite file there. The password is taken from PGPASSWORD, or the file that "
    "PGPASSFILE or ?passfile= in the URL names.",
)
@data_option
def init_command(data: Path, database: str | None) -> None:
    """Set up a new server. It gets the usual tags and distribution versions, and the user `admin`."""
    from packrat_server.admin.new_server import init
    from packrat_server.store.postgresql import place

    password = init(data, database)
    click.echo(f"made {data}" + (f", with its records in {place(database)}" if database is not None else ""))
    click.echo(f"user admin has the password {password} (shown this once)")
    repo = command_line("repo", "set", "apt-dev", "--type", "apt", "--tag", "dev", "--distro", "bookworm")
    tell_next(f"{command_line('serve')} starts it; {repo} makes a first repository")
