"""The commands `list` and `show` of a kind of record that an administrator sets up."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packrat_core.errors import ConfigError
from packrat_server.cli.data_option import data_option
from packrat_server.cli.tables import json_option, show_list, show_one
from packrat_server.store.text import join_names

if TYPE_CHECKING:
    from sqlalchemy import Connection

Records = Sequence[Mapping[str, Any]]


def add_looking(
    group: click.Group,
    what: str,
    read: "Callable[[Connection], Records]",
    columns: Sequence[str],
    more: "Callable[[Connection, str], Mapping[str, Any]] | None" = None,
    for_people: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> None:
    """Add `list` and `show` to a group of commands.

    Args:
        group: The group, such as `repo`.
        what: What it is about, for its help and messages: `repository`.
        read: Reads all records; each has a `name`.
        columns: The fields that the table of `list` has.
        more: Reads what else `show` has of one record.
        for_people: Makes a record easier to read than in JSON.
    """
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"

    @group.command("list", help=f"List the {plural}.")
    @json_option
    @data_option
    def list_records(data: Path, as_json: bool) -> None:
        from packrat_server.store.database import open_database, reading

        with reading(open_database(data)) as connection:
            records = read(connection)
        show_list(records if as_json else list(map(for_people, records)), columns, as_json=as_json)

    @group.command("show", help=f"Show everything known about a {what}.")
    @click.argument("name")
    @json_option
    @data_option
    def show_record(data: Path, name: str, as_json: bool) -> None:
        from packrat_server.store.database import open_database, reading

        with reading(open_database(data)) as connection:
            records = read(connection)
            record = _pick(records, name, what)
            shown = {**record, **(more(connection, name) if more is not None else {})}
        show_one(shown if as_json else for_people(shown), as_json=as_json)


def _pick(records: Records, name: str, what: str) -> Mapping[str, Any]:
    found = next((record for record in records if record["name"] == name), None)
    if found is None:
        from packrat_server.admin.checks import shorten

        names = join_names([record["name"] for record in records]) or "none yet"
        raise ConfigError(f"there is no {what} {shorten(name)}", hint=f"there are {names}")
    return found
