"""The commands that put package files in and promote them, through the server's API.

Takes: command lines.
Gives: a line on stdout for each package file that was uploaded or is as wanted already; refusals on stderr.
Touches: network, the files that are uploaded.

A command works through its whole list: what the server refuses is told, and the rest is done. Repeating a command
that was carried out succeeds.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from packrat_core.cinp.responses import SessionEnded
from packrat_core.errors import ConfigError, ServerRefused
from packrat_server.uploader import Uploader, signed_in

T = TypeVar("T")


class _Attempts:
    """Counts the files of a command that are refused."""

    def __init__(self, names: Sequence[object]) -> None:
        self._total = len(names)
        self._refused = 0

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Do one file of the list; a refusal is told and counted, or raised where there is no other file.

        Raises: ServerRefused
        """
        try:
            yield
        except SessionEnded:
            raise
        except (ServerRefused, OSError) as error:
            told = error if isinstance(error, ServerRefused) else f"it can't be read: {error.strerror}"
            refusal = ServerRefused(f"{name}: {told}")
            if self._total == 1:
                raise refusal from None
            click.echo(f"packrat-server: {refusal}", err=True)
            self._refused += 1

    def finish(self) -> None:
        """Raises: ServerRefused with the count, where files were refused."""
        if self._refused:
            done = self._total - self._refused
            raise ServerRefused(f"{self._refused} of {self._total} files refused, {done} done; see the lines above")


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


@click.command("upload")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--distro", "distros", multiple=True, help="A distribution version that the files are for.")
@click.option("--tag", "tags", multiple=True, help="Tag them at once; in order, may be repeated.")
@click.option("--change-control", help="The change control id, where a tag needs one.")
@click.option("--justification", default="", help="Why they are wanted.")
@click.option("--provenance", default="", help="Where they come from.")
@_of_a_session
def upload_command(files: tuple[Path, ...], **given: Any) -> None:
    """Upload package files; prints the URI of each.

    Files that the server has already, with the same name and bytes, are left as they are and get the tags that they
    lack. Files that are refused don't stop the others.
    """

    async def work(uploader: Uploader) -> None:
        attempts = _Attempts(files)
        for path in files:
            with attempts.attempt(path.name):
                await _upload(uploader, path, given)
        attempts.finish()

    _with_session(given, work)


async def _upload(uploader: Uploader, path: Path, given: dict[str, Any]) -> None:
    """Upload one file and tag it for each of its distribution versions.

    Raises: ServerRefused
    """
    uris = await uploader.upload(path, given["distros"], given["justification"], given["provenance"])
    refused = ""
    for uri, is_new in uris.items():
        notes = [] if is_new else ["already uploaded"]
        try:
            for tag in given["tags"]:
                if not await uploader.tag(uri, tag, given["change_control"]):
                    notes.append(f"already tagged {tag}")
        except SessionEnded:
            raise
        except ServerRefused as error:
            refused = f"it is uploaded as {uri}, but not tagged {tag}: {error}"
        _tell(uri, path.name, notes)
    if refused:
        raise ServerRefused(refused)


@click.command("tag")
@click.argument("tag")
@click.argument("files", nargs=-1, required=True)
@click.option("--change-control", help="The change control id, where the tag needs one.")
@click.option("--off", is_flag=True, help="Take the tag off.")
@_of_a_session
def tag_command(tag: str, files: tuple[str, ...], change_control: str | None, off: bool, **session: Any) -> None:
    """Promote package files, named by URI or file name, to a tag.

    Files that have the tag already are named and left as they are. Files that are refused don't stop the others.
    """

    async def change(uploader: Uploader, uri: str, name: str) -> None:
        if off:
            if not await uploader.untag(uri, tag):
                _tell(uri, name, [f"already without {tag}"])
        elif not await uploader.tag(uri, tag, change_control):
            _tell(uri, name, [f"already tagged {tag}"])

    _change_each(session, files, change)


def _marking(action: str, what: str) -> click.Command:
    @click.command(
        action,
        help=f"{what} package files. They are named by URI or file name. What is so already stays so; files that are "
        "refused don't stop the others.",
    )
    @click.argument("files", nargs=-1, required=True)
    @_of_a_session
    def mark(files: tuple[str, ...], **session: Any) -> None:
        async def change(uploader: Uploader, uri: str, _name: str) -> None:
            await uploader.act(uri, action)

        _change_each(session, files, change)

    return mark


COMMANDS: Sequence[click.Command] = (
    upload_command,
    tag_command,
    _marking("fail", "Withdraw as failed"),
    _marking("unfail", "Undo the failure of"),
    _marking("deprocate", "Withdraw as outdated"),
    _marking("undeprocate", "Undo the withdrawal of"),
)


def _change_each(
    session: dict[str, Any], files: tuple[str, ...], change: Callable[[Uploader, str, str], Awaitable[None]]
) -> None:
    """Change every package file that is meant by each of the names."""

    async def work(uploader: Uploader) -> None:
        attempts = _Attempts(files)
        for name in files:
            with attempts.attempt(name):
                await _change_all(uploader, name, change)
        attempts.finish()

    _with_session(session, work)


async def _change_all(uploader: Uploader, name: str, change: Callable[[Uploader, str, str], Awaitable[None]]) -> None:
    """Change the package files of a name: there may be one for each distribution version.

    Raises: ServerRefused where there is none, or one of them can't be changed.
    """
    uris = [name] if name.startswith("/api/") else await uploader.find(name)
    if not uris:
        raise ServerRefused("the server has no package file of this name; a URI will do, too")
    refused: list[str] = []
    for uri in uris:
        try:
            await change(uploader, uri, name)
        except SessionEnded:
            raise
        except ServerRefused as error:
            refused.append(f"{uri}: {error}" if len(uris) > 1 else str(error))
    if refused:
        raise ServerRefused("; ".join(refused))


def _tell(uri: str, name: str, notes: Sequence[str]) -> None:
    click.echo(uri + f" {name}" * (name != uri) + f" ({', '.join(notes)})" * bool(notes))


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
