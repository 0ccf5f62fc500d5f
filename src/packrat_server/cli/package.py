"""`packrat-server package`: shows packages."""

from typing import Any

import click

from packrat_core.errors import ConfigError
from packrat_core.text import printable
from packrat_server.cli.looking import limit_option, look, tell_more, where_options
from packrat_server.cli.tables import json_option, show_list, show_one
from packrat_server.promotion.find_files import Found
from packrat_server.promotion.list_packages import list_packages, show_package


@click.group("package")
def package_group() -> None:
    """Packages: how many files they have, and how many of them are kept."""


@package_group.command("list")
@click.argument("name", default="")
@limit_option
@json_option
@where_options
def package_list(name: str, limit: int, as_json: bool, **where: Any) -> None:
    """List packages by name.

    NAME is the beginning of their names, or has `*` and `?` for any letters; without it, all are listed.
    """
    found = look(
        where,
        "findPackages",
        {"name": name, "limit": limit},
        lambda connection: list_packages(connection, name, limit),
    )
    show_list(found.records, ("name", "files", "tags", "failed", "deprocated"), as_json=as_json)
    tell_more(found, limit)


@package_group.command("show")
@click.argument("name")
@json_option
@where_options
def package_show(name: str, as_json: bool, **where: Any) -> None:
    """Show all that is known of a package."""
    found = look(
        where,
        "findPackages",
        {"name": name, "exact": True},
        lambda connection: Found(show_package(connection, name), more=False),
    )
    if not found.records:
        raise ConfigError(
            f"there is no package {printable(name)!r}", hint="`packrat-server package list` looks for names"
        )
    show_one(found.records[0], as_json=as_json)
