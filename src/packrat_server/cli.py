"""The command line of the server: one function a command.

Takes: arguments.
Gives: answers on stdout, the log on stderr, an exit code.
Touches: the data directory; a running server, through its HTTP API.
"""

import io
import sys
from pathlib import Path

import click

from packrat_core import __version__
from packrat_core.cli import ErrorTellingGroup
from packrat_core.fs.ownership import refuse_root
from packrat_core.listen import parse_listen
from packrat_core.log import set_up_log
from packrat_server import admin
from packrat_server.access import Role, new_password
from packrat_server.file_commands import COMMANDS
from packrat_server.running import serve
from packrat_server.saved import Saved
from packrat_server.seed import init
from packrat_server.store.database import open_database
from packrat_server.store.postgresql import place


def _refuse_as_root(_ctx: click.Context, _param: click.Parameter, data: Path) -> Path:
    """Stop root before it makes files in another user's data directory, which would stop that user's server."""
    own = [("the server's directory", data / name) for name in ("packrat.db", "database", "files")]
    refuse_root(own, [("the data directory", data)])
    return data


_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path),
    callback=_refuse_as_root,
    default=Path("/var/lib/packrat-server"),
    show_default=True,
    envvar="PACKRAT_DATA",
    help="The server's data directory.",
)


@click.group("packrat-server", cls=ErrorTellingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="packrat-server")
def main() -> None:
    """Keep package files and promote them through tags, for packrat-agents to mirror."""
    set_up_log()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What was changed is told, in whatever letters the terminal has.
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command("init")
@click.option(
    "--database",
    metavar="URL",
    envvar="PACKRAT_DATABASE",
    show_envvar=True,
    help="An empty PostgreSQL database for the records, postgresql://USER@HOST:PORT/NAME; the data directory remembers "
    "it. By default they are in an SQLite file there. The password is taken from PGPASSWORD, or from the file that "
    "PGPASSFILE or ?passfile= in the URL names.",
)
@_DATA
def init_command(data: Path, database: str | None) -> None:
    """Make a new server. It has the usual tags and distribution versions, and user `admin`."""
    password = init(data, database)
    click.echo(f"made {data}" + (f", with its records in {place(database)}" if database is not None else ""))
    click.echo(f"user admin has the password {password} (shown this once)")


@main.command("serve")
@_DATA
@click.option("--listen", default="127.0.0.1:8888", show_default=True, help="HOST:PORT to serve the API on.")
def serve_command(data: Path, listen: str) -> None:
    """Serve the API until SIGTERM."""
    host, port = parse_listen(listen)
    serve(data, host, port)


@main.group("repo")
def repo_group() -> None:
    """Repositories: which tag and distribution versions they take."""


@repo_group.command("set")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(admin.KINDS), help="The type of repository; a new one needs it.")
@click.option("--tag", help="Take the files that have this tag; a new one needs it.")
@click.option(
    "--distro",
    "distros",
    multiple=True,
    help="A distribution version; may be repeated. Those named replace those that it has; a new one needs them.",
)
@click.option("--directory", help="Where below root_dir it stands: part of its clients' address. New: its name.")
@click.option("--description", help="What clients are told that it is. New: its name.")
@click.option(
    "--all-versions/--newest-only",
    "all_versions",
    default=None,
    help="Offer every version, or the newest only. New: the newest only.",
)
@_DATA
def repo_set(name: str, distros: tuple[str, ...], all_versions: bool | None, data: Path, **given: str | None) -> None:
    """Make a repository, or change what is named of it.

    Prints each field that changed, before → after.
    """
    latest = None if all_versions is None else not all_versions
    repo = admin.NewRepo(name, distro_versions=distros or None, show_only_latest=latest, **given)
    _tell(admin.save_repo(open_database(data), repo), f"repository {name}")


def _tell(saved: Saved, what: str) -> None:
    for line in saved.lines(what):
        click.echo(line)


@repo_group.command("remove")
@click.argument("name")
@_DATA
def repo_remove(name: str, data: Path) -> None:
    """Remove a repository; its package files stay."""
    admin.remove_repo(open_database(data), name)


@main.group("mirror")
def mirror_group() -> None:
    """Mirrors: which repositories they build."""


@mirror_group.command("set")
@click.argument("name")
@click.option(
    "--repo",
    "repos",
    multiple=True,
    help="A repository; may be repeated. Those named replace those that it has; a new one needs them.",
)
@click.option("--description", help="What it is. New: its name.")
@click.option("--new-psk", is_flag=True, help="Generate a new psk for a mirror that exists; its sessions end.")
@_DATA
def mirror_set(name: str, repos: tuple[str, ...], description: str | None, new_psk: bool, data: Path) -> None:
    """Make a mirror, or change what is named of it.

    Prints each field that changed, before → after, and the psk of a new mirror.
    """
    saved = admin.set_mirror(open_database(data), name, repos or None, description, new_password() if new_psk else None)
    _tell(saved, f"mirror {name}")
    if saved.secret is not None:
        click.echo(f"mirror {name} has the psk {saved.secret} (shown this once; put it into mirror.conf)")


@mirror_group.command("remove")
@click.argument("name")
@_DATA
def mirror_remove(name: str, data: Path) -> None:
    """Remove a mirror."""
    admin.remove_mirror(open_database(data), name)


@main.group("user")
def user_group() -> None:
    """Users. Managers upload and promote, admins may do everything."""


@user_group.command("set")
@click.argument("name")
@click.option("--role", type=click.Choice(["manager", "admin"]), help="What it may do. New: manager.")
@click.option("--new-password", "renew", is_flag=True, help="Generate a new password for a user that exists.")
@_DATA
def user_set(name: str, role: str | None, renew: bool, data: Path) -> None:
    """Make a user, or change what is named of it.

    Prints each field that changed, before → after, and the password of a new user. After a change the user logs in
    anew. Somebody who was locked out becomes a user again as if new.
    """
    wanted = None if role is None else Role(role)
    saved = admin.set_user(open_database(data), name, wanted, new_password() if renew else None)
    _tell(saved, f"user {name}")
    if saved.secret is not None:
        click.echo(f"user {name} has the password {saved.secret} (shown this once)")


@user_group.command("remove")
@click.argument("name")
@_DATA
def user_remove(name: str, data: Path) -> None:
    """Lock a user out."""
    admin.remove_user(open_database(data), name)


for _command in COMMANDS:
    main.add_command(_command)


if __name__ == "__main__":
    sys.exit(main())
