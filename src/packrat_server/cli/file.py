"""`packrat-server file`: shows and deletes package files, and frees the names of deleted ones."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ConfigError
from packrat_core.text import printable
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.delete_files import delete_files
from packrat_server.cli.look import find_and_show
from packrat_server.cli.package_source import filter_options, limit_option, look, where_options
from packrat_server.cli.session import of_a_session
from packrat_server.cli.tables import json_option, show_each
from packrat_server.promotion.questions import FileQuery, Found

if TYPE_CHECKING:
    from sqlalchemy import Connection


@click.group("file", cls=InnerGroup)
def file_group() -> None:
    """Package files: what they are, which repositories offer them; deletes files."""


@file_group.command("list")
@filter_options
@limit_option
@json_option
@where_options
def file_list(package: str, tag: str, distro: str, state: str | None, limit: int, as_json: bool, **where: Any) -> None:
    """List package files."""
    query = FileQuery(package=package, tag=tag, distro=distro, state=state or "", limit=limit)
    find_and_show(query, where, as_json=as_json)


@file_group.command("show")
@click.argument("name")
@json_option
@where_options
def file_show(name: str, as_json: bool, **where: Any) -> None:
    """Show the package files of a name or URI.

    A name has a file for each distribution version that has it. Shows everything known about each, with the
    repositories that offer it.
    """

    def read(connection: "Connection") -> Found:
        from packrat_server.promotion.find_files import show_files

        return Found(show_files(connection, name), more=False)

    found = look(where, "show", {"name": name}, read)
    if not found.records:
        raise ConfigError(f"there is no package file {printable(name)!r}", hint="`packrat-server find` looks for names")
    show_each(found.records, as_json=as_json)


@file_group.command("delete")
@click.argument("files", nargs=-1, required=True)
@of_a_session
@with_consent
def file_delete(files: tuple[str, ...], consent: Consent, **session: Any) -> None:
    """Delete package files, named by URI or file name, for good. Asks for confirmation.

    It needs the right to delete files, which administrators have, and the right to each tag of a file. The history
    keeps what they were, and the name of a file stays with its bytes. To take a file away from clients and keep it, use
    `fail` or `deprocate`. Files that are refused don't stop the others.
    """
    delete_files(session, files, consent)


@file_group.command("free")
@click.argument("name")
@data_option
@with_consent
def file_free(name: str, data: Path, consent: Consent) -> None:
    """Let other bytes have the name of a deleted package file. Asks for confirmation.

    Without that, only the bytes that the file had may come back under its name.
    """
    from packrat_server.admin.file_names import free_file_name

    carry_out(
        f"file name {printable(name)}", data, lambda engine, approval: free_file_name(engine, name, approval), consent
    )
    if not consent.dry_run:
        tell_next(f"`packrat-server upload {quote(printable(name))} --distro DISTRO` puts the other bytes in")
