"""`packrat-server upload`, `tag`, `fail` and the like: put package files in and promote them, through the API.

1. A command works through its whole list: a file that the server refuses is reported on stderr, the rest is done.
2. Repeating a command that was carried out succeeds and changes nothing.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from packrat_core.cinp.responses import SessionEnded
from packrat_core.errors import ConfigError, Refused, ServerRefused
from packrat_core.packages.image.inspect import is_image_archive
from packrat_core.packages.image.names import join_file_name, split_file_name
from packrat_server.client.uploader import Uploader, signed_in

T = TypeVar("T")


class _Attempts:
    """Reports the files of a command that are refused, and counts them."""

    def __init__(self, names: Sequence[object]) -> None:
        self._total = len(names)
        self._refused = 0

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Do one file of the list; a refusal is reported and counted, or raised where the list has no other file.

        Raises:
            ServerRefused: The only file of the list is refused.
            SessionEnded: The session is over, so no other file can be done either.
        """
        try:
            yield
        except SessionEnded:
            raise
        except (ServerRefused, OSError) as error:
            reason = error if isinstance(error, ServerRefused) else f"it can't be read: {error.strerror}"
            refusal = ServerRefused(f"{name}: {reason}")
            if self._total == 1:
                raise refusal from None
            click.echo(f"packrat-server: {refusal}", err=True)
            self._refused += 1

    def finish(self) -> None:
        """End the command.

        Raises:
            ServerRefused: Files were refused; the message has their number.
        """
        if self._refused:
            done = self._total - self._refused
            raise ServerRefused(
                f"{self._refused} of {self._total} files refused, {done} done", hint="see the lines above"
            )


def _of_a_session(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--url", default="http://127.0.0.1:8888", show_default=True, envvar="PACKRAT_URL", help="The server."
        ),
        click.option("--user", default="admin", show_default=True, envvar="PACKRAT_USER", help="The user who logs in."),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path),
            help="A file with the password; by default it is taken from PACKRAT_PASSWORD, or asked for.",
        ),
    ):
        command = option(command)
    return command


@click.command("upload")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--distro", "distros", multiple=True, help="A distribution version of the files; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="Promote them to this tag; may be repeated, in order.")
@click.option("--change-control", help="The change control id, if a tag needs one.")
@click.option("--justification", default="", help="Why the files are needed.")
@click.option("--provenance", default="", help="Where the files come from.")
@click.option("--package", help="The name of the image, if the name of the file says another one; for one image.")
@click.option("--version", help="The tag of the image, likewise.")
@_of_a_session
def upload_command(files: tuple[Path, ...], **given: Any) -> None:
    """Upload package files and print the URI of each.

    Files that the server has already, with the same name and bytes, are left as they are and get the tags that they
    lack. Files that are refused don't stop the others.
    """
    name = _name_image(files, given.pop("package"), given.pop("version"))

    async def work(uploader: Uploader) -> None:
        attempts = _Attempts(files)
        for path in files:
            with attempts.attempt(path.name):
                await _upload(uploader, path, name or path.name, given)
        attempts.finish()

    _with_session(given, work)


def _name_image(files: Sequence[Path], package: str | None, version: str | None) -> str:
    """Return the name under which an image goes to the server, by which the server knows what it is.

    Args:
        files: What is to be uploaded.
        package: The image as `--package` gives it.
        version: Its tag as `--version` gives it.

    Returns:
        The name; '' if neither is given.

    Raises:
        ConfigError: There are several files, it is not an image archive, or registries do not allow the name.
    """
    if package is None and version is None:
        return ""
    if len(files) != 1 or not is_image_archive(files[0]):
        raise ConfigError(
            "--package and --version are for one image archive; other files say themselves what they are, or by their "
            "names: rename them"
        )
    try:
        if package is None or version is None:
            named = split_file_name(files[0].name)
            package, version = package or named[0], version or named[1]
        return join_file_name(package, version)
    except Refused as error:
        raise ConfigError(f"{files[0].name}: {error}; give --package and --version") from None


async def _upload(uploader: Uploader, path: Path, name: str, given: dict[str, Any]) -> None:
    """Upload one file and tag it for each of its distribution versions.

    Args:
        uploader: The session.
        path: The file.
        name: The name that it gets on the server.
        given: The options of the command.

    Raises:
        ServerRefused: It is not taken, or not tagged in one of them.
    """
    renamed = name if name != path.name else ""
    uris = await uploader.upload(path, given["distros"], given["justification"], given["provenance"], renamed)
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
        _report(uri, name, notes)
    if refused:
        raise ServerRefused(refused)


@click.command("tag")
@click.argument("tag")
@click.argument("files", nargs=-1, required=True)
@click.option("--change-control", help="The change control id, if the tag needs one.")
@click.option("--off", is_flag=True, help="Take the tag off.")
@_of_a_session
def tag_command(tag: str, files: tuple[str, ...], change_control: str | None, off: bool, **session: Any) -> None:
    """Promote package files, named by URI or file name, to a tag.

    Files that have the tag already are listed and left as they are. Files that are refused don't stop the others.
    """

    async def change(uploader: Uploader, uri: str, name: str) -> None:
        if off:
            if not await uploader.untag(uri, tag):
                _report(uri, name, [f"already without {tag}"])
        elif not await uploader.tag(uri, tag, change_control):
            _report(uri, name, [f"already tagged {tag}"])

    _change_each(session, files, change)


def _marking(action: str, what: str) -> click.Command:
    @click.command(
        action,
        help=f"{what} package files. They are named by URI or file name. Repeating it changes nothing; files that "
        "are refused don't stop the others.",
    )
    @click.argument("files", nargs=-1, required=True)
    @_of_a_session
    def mark(files: tuple[str, ...], **session: Any) -> None:
        async def change(uploader: Uploader, uri: str, _name: str) -> None:
            await uploader.act(uri, action)

        _change_each(session, files, change)

    return mark


fail_command = _marking("fail", "Withdraw as failed")
unfail_command = _marking("unfail", "Undo the failure of")
deprocate_command = _marking("deprocate", "Withdraw as outdated")
undeprocate_command = _marking("undeprocate", "Undo the withdrawal of")


def _change_each(
    session: dict[str, Any], files: tuple[str, ...], change: Callable[[Uploader, str, str], Awaitable[None]]
) -> None:
    """Change every package file of each of the names."""

    async def work(uploader: Uploader) -> None:
        attempts = _Attempts(files)
        for name in files:
            with attempts.attempt(name):
                await _change_all(uploader, name, change)
        attempts.finish()

    _with_session(session, work)


async def _change_all(uploader: Uploader, name: str, change: Callable[[Uploader, str, str], Awaitable[None]]) -> None:
    """Change the package files of a name, of which there may be one for each distribution version.

    Args:
        uploader: The session.
        name: The URI of a package file, or a file name.
        change: Changes one package file, given its URI and `name`.

    Raises:
        ServerRefused: There is none of that name, or one of them can't be changed.
    """
    uris = [name] if name.startswith("/api/") else await uploader.find(name)
    if not uris:
        raise ServerRefused("the server has no package file of this name", hint="check the spelling, or give its URI")
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


def _report(uri: str, name: str, notes: Sequence[str]) -> None:
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
            raise ConfigError(
                f"--password-file {path} can't be read: {error}", hint="give a text file that this user may read"
            ) from None
    given = os.environ.get("PACKRAT_PASSWORD")
    return given if given else str(click.prompt(f"Password of {user}", hide_input=True, err=True))
