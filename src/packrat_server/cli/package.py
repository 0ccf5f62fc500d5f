"""`packrat-server package`: shows packages, and sets how many of their files are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.parameters import Between
from packrat_core.errors import ConfigError
from packrat_core.text import printable
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.package_source import limit_option, look, tell_more, where_options
from packrat_server.cli.tables import json_option, show_list, show_one
from packrat_server.promotion.questions import Found

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COUNT = Between(0, 1_000_000)


@click.group("package", cls=InnerGroup)
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

    def read(connection: "Connection") -> Found:
        from packrat_server.promotion.list_packages import list_packages

        return list_packages(connection, name, limit)

    found = look(where, "findPackages", {"name": name, "limit": limit}, read)
    show_list(found.records, ("name", "files", "tags", "failed", "deprocated"), as_json=as_json)
    tell_more(found, limit)


@package_group.command("show")
@click.argument("name")
@json_option
@where_options
def package_show(name: str, as_json: bool, **where: Any) -> None:
    """Show everything known about a package."""

    def read(connection: "Connection") -> Found:
        from packrat_server.promotion.list_packages import show_package

        return Found(show_package(connection, name), more=False)

    found = look(where, "findPackages", {"name": name, "exact": True}, read)
    if not found.records:
        raise ConfigError(
            f"there is no package {printable(name)!r}", hint="`packrat-server package list` looks for names"
        )
    show_one(found.records[0], as_json=as_json)


@package_group.command("set")
@click.argument("name")
@click.option("--failed-count", type=_COUNT, help="How many of its newest failed files to keep. New packages: 5.")
@click.option(
    "--deprocated-count", type=_COUNT, help="How many of its newest deprecated files to keep. New packages: 10."
)
@data_option
@with_consent
def package_set(name: str, data: Path, consent: Consent, **given: int | None) -> None:
    """Change how many files of a package are kept.

    Settings that no option names stay as they are. Prints each field that changed, before → after.
    """
    from packrat_server.admin.packages import set_package

    counts = {field: count for field, count in given.items() if count is not None}
    carry_out(f"package {name}", data, lambda engine, approval: set_package(engine, name, counts, approval), consent)
