"""`packrat-server file`: shows package files."""

from typing import Any

import click

from packrat_core.errors import ConfigError
from packrat_core.text import printable
from packrat_server.cli.look import find_and_show
from packrat_server.cli.looking import filter_options, limit_option, look, where_options
from packrat_server.cli.tables import json_option, show_each
from packrat_server.promotion.find_files import FileQuery, Found, show_files


@click.group("file")
def file_group() -> None:
    """Package files: what they are, and which repositories offer them."""


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

    A name has a file for each distribution version that has it. Shows all that is known of each, with the repositories
    that offer it.
    """
    found = look(where, "show", {"name": name}, lambda connection: Found(show_files(connection, name), more=False))
    if not found.records:
        raise ConfigError(f"there is no package file {printable(name)!r}", hint="`packrat-server find` looks for names")
    show_each(found.records, as_json=as_json)
