"""`packrat-server upload`: puts package files in, through the API.

1. The command works through its whole list: a file that the server refuses is reported on stderr, the rest is done.
2. Repeating a command that was carried out succeeds and changes nothing.
"""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cinp.refusals import SessionEnded
from packrat_core.cli.parameters import GivenFile
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ConfigError, Refused, ServerRefused
from packrat_core.packages.image.inspect import is_image_archive
from packrat_core.packages.image.names import join_file_name, split_file_name
from packrat_server.cli.attempts import Attempts, report
from packrat_server.cli.next_step import command_line, tell_where
from packrat_server.cli.reason_option import reason_option
from packrat_server.cli.session import of_a_session, with_session

if TYPE_CHECKING:
    from packrat_server.client.file_uploads import NewFile, SentFile
    from packrat_server.client.uploader import Uploader

_SHOWN = 3


@click.command("upload")
@click.argument("files", nargs=-1, required=True, type=GivenFile())
@click.option("--distro", "distros", multiple=True, help="A distribution version of the files; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="Promote them to this tag; may be repeated, in order.")
@click.option("--change-control", help="The change control id, if a tag needs one.")
@click.option("--justification", default="", help="Why the files are needed.")
@click.option("--provenance", default="", help="Where the files come from.")
@click.option("--package", help="The name of the image, if the name of the file says another one; for one image.")
@click.option("--version", help="The tag of the image, likewise.")
@reason_option
@of_a_session
def upload_command(files: tuple[Path, ...], **given: Any) -> None:
    """Upload package files and print the URI of each.

    Files that the server has already, with the same name and bytes, are left as they are and get the tags that they
    lack. Files that are refused don't stop the others.
    """
    name = _name_image(files, given.pop("package"), given.pop("version"))

    async def work(uploader: "Uploader") -> None:
        # `--help` does not wait for what speaks HTTP.
        from packrat_server.client.file_uploads import send_ahead

        attempts = Attempts(files)
        wanted = [_describe(path, name, given) for path in files]
        async with aclosing(send_ahead(uploader.files, wanted)) as each:
            async for new, sending in each:
                with attempts.attempt(new.path.name):
                    await _finish(uploader, await sending, name or new.path.name, given)
        attempts.finish()

    with_session(given, work)
    if given["tags"]:
        tell_where([name] if name else files)
    else:
        tag = command_line("tag", "TAG", *([name] if name else [path.name for path in files[:_SHOWN]]))
        tell_next(f"{tag} offers it to the repositories that take TAG", at_terminal=True)


def _name_image(files: Sequence[Path], package: str | None, version: str | None) -> str:
    """Return the name under which an image goes to the server, by which the server knows what it is.

    Args:
        files: What to upload.
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


def _describe(path: Path, name: str, given: dict[str, Any]) -> "NewFile":
    """Describe one file to upload.

    Args:
        path: The file.
        name: The name that it gets on the server; '' for its own.
        given: The options of the command.
    """
    from packrat_server.client.file_uploads import NewFile, why
    from packrat_server.client.find_file import without_epoch

    described = {"justification": given["justification"], "provenance": given["provenance"], **why(given["reason"])}
    return NewFile(path, name or without_epoch(path.name), given["distros"], described)


async def _finish(uploader: "Uploader", sent: "SentFile", name: str, given: dict[str, Any]) -> None:
    """Make the package files of one file, and tag them.

    Args:
        uploader: The session.
        sent: The file.
        name: What the command calls it.
        given: The options of the command.

    Raises:
        ServerRefused: It is not taken, or not tagged in one of its distribution versions.
    """
    uris = await uploader.files.make(sent)
    refused = ""
    for uri, is_new in uris.items():
        notes = [] if is_new else ["already uploaded"]
        try:
            for tag in given["tags"]:
                if not await uploader.tag(uri, tag, given["change_control"], given["reason"]):
                    notes.append(f"already tagged {tag}")
        except SessionEnded:
            raise
        except ServerRefused as error:
            refused = f"it is uploaded as {uri}, but not tagged {tag}: {error}"
        report(uri, name, notes)
    if refused:
        raise ServerRefused(refused)
