"""The command line of the server: one function a command.

Takes: arguments.
Gives: answers on stdout, the log on stderr, an exit code.
Touches: the data directory; a running server, through its HTTP API.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from packrat_agent import __version__
from packrat_core.errors import ConfigError, PackratError
from packrat_core.listen import parse_listen
from packrat_core.log import set_up_log
from packrat_server import admin
from packrat_server.access import Role, new_password
from packrat_server.running import serve
from packrat_server.seed import init
from packrat_server.store.database import open_database
from packrat_server.store.postgresql import place
from packrat_server.uploader import Uploader, signed_in

T = TypeVar("T")

_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/packrat-server"),
    show_default=True,
    envvar="PACKRAT_DATA",
    help="The server's data directory.",
)


class _Commands(click.Group):
    """Tells every PackratError in one sentence and exits with its code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PackratError as error:
            click.echo(f"packrat-server: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="packrat-server")
def main() -> None:
    """Keep package files and promote them through tags, for packrat-agents to mirror."""
    set_up_log()


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
@click.option("--type", "kind", type=click.Choice(admin.KINDS), required=True, help="The type of repository.")
@click.option("--tag", required=True, help="Take the files that have this tag.")
@click.option("--distro", "distros", multiple=True, required=True, help="A distribution version; may be repeated.")
@click.option("--directory", default="", help="Where below root_dir it stands; by default its name.")
@click.option("--description", default="", help="What clients are told that it is.")
@click.option("--all-versions", is_flag=True, help="Offer every version, not the newest only.")
@_DATA
def repo_set(name: str, distros: tuple[str, ...], all_versions: bool, data: Path, **given: str) -> None:
    """Make or change a repository."""
    repo = admin.NewRepo(name, distro_versions=distros, show_only_latest=not all_versions, **given)
    admin.save_repo(open_database(data), repo)


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
@click.option("--repo", "repos", multiple=True, required=True, help="A repository; may be repeated.")
@click.option("--description", default="", help="What it is.")
@click.option("--new-psk", is_flag=True, help="Generate a new psk for a mirror that exists.")
@_DATA
def mirror_set(name: str, repos: tuple[str, ...], description: str, new_psk: bool, data: Path) -> None:
    """Make or change a mirror; prints the psk of a new one."""
    wanted = new_password() if new_psk else None
    psk = admin.save_mirror(open_database(data), name, repos, description, wanted)
    if psk is not None:
        click.echo(f"mirror {name} has the psk {psk} (shown this once; put it into mirror.conf)")


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
@click.option(
    "--role", type=click.Choice(["manager", "admin"]), default="manager", show_default=True, help="What it may do."
)
@_DATA
def user_set(name: str, role: str, data: Path) -> None:
    """Make a user, or give one a new role and password. Prints the password."""
    password = admin.save_user(open_database(data), name, Role(role))
    click.echo(f"user {name} has the password {password} (shown this once)")


@user_group.command("remove")
@click.argument("name")
@_DATA
def user_remove(name: str, data: Path) -> None:
    """Lock a user out."""
    admin.remove_user(open_database(data), name)


def _of_a_session(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--url", default="http://127.0.0.1:8888", show_default=True, envvar="PACKRAT_URL", help="The server."
        ),
        click.option("--user", default="admin", show_default=True, envvar="PACKRAT_USER", help="Who acts."),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path),
            help="A file with the password; else it is taken from PACKRAT_PASSWORD or asked for.",
        ),
    ):
        command = option(command)
    return command


@main.command("upload")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--distro", "distros", multiple=True, help="A distribution version that the files are for.")
@click.option("--tag", "tags", multiple=True, help="Tag them at once; in order, may be repeated.")
@click.option("--change-control", help="The change control id, where a tag needs one.")
@click.option("--justification", default="", help="Why they are wanted.")
@click.option("--provenance", default="", help="Where they come from.")
@_of_a_session
def upload_command(
    files: tuple[Path, ...],
    distros: tuple[str, ...],
    tags: tuple[str, ...],
    change_control: str | None,
    justification: str,
    provenance: str,
    **session: Any,
) -> None:
    """Upload package files; prints the URI of each."""

    async def work(uploader: Uploader) -> None:
        for path in files:
            for uri in await uploader.upload(path, distros, justification, provenance):
                for tag in tags:
                    await uploader.tag(uri, tag, change_control)
                click.echo(f"{uri} {path.name}")

    _with_session(session, work)


@main.command("tag")
@click.argument("tag")
@click.argument("files", nargs=-1, required=True)
@click.option("--change-control", help="The change control id, where the tag needs one.")
@click.option("--off", is_flag=True, help="Take the tag off.")
@_of_a_session
def tag_command(tag: str, files: tuple[str, ...], change_control: str | None, off: bool, **session: Any) -> None:
    """Promote package files, named by URI or file name, to a tag."""

    async def work(uploader: Uploader) -> None:
        for uri in await _uris(uploader, files):
            await (uploader.untag(uri, tag) if off else uploader.tag(uri, tag, change_control))

    _with_session(session, work)


def _marking(action: str, what: str) -> None:
    @main.command(action, help=f"{what} package files. They are named by URI or file name.")
    @click.argument("files", nargs=-1, required=True)
    @_of_a_session
    def mark(files: tuple[str, ...], **session: Any) -> None:
        async def work(uploader: Uploader) -> None:
            for uri in await _uris(uploader, files):
                await uploader.act(uri, action)

        _with_session(session, work)


_marking("fail", "Withdraw as failed")
_marking("unfail", "Undo the failure of")
_marking("deprocate", "Withdraw as outdated")
_marking("undeprocate", "Undo the withdrawal of")


async def _uris(uploader: Uploader, files: tuple[str, ...]) -> list[str]:
    uris: list[str] = []
    for one in files:
        found = [one] if one.startswith("/api/") else await uploader.find(one)
        if not found:
            raise ConfigError(f"the server has no package file called {one}")
        uris += found
    return uris


def _with_session(session: dict[str, Any], work: Callable[[Uploader], Awaitable[T]]) -> T:
    password = _password(session["password_file"], session["user"])

    async def do() -> T:
        async with signed_in(session["url"], session["user"], password) as uploader:
            return await work(uploader)

    return asyncio.run(do())


def _password(path: Path | None, user: str) -> str:
    if path is not None:
        try:
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--password-file {path} can't be read: {error}") from None
    given = os.environ.get("PACKRAT_PASSWORD")
    return given if given else str(click.prompt(f"Password of {user}", hide_input=True, err=True))


if __name__ == "__main__":
    sys.exit(main())
