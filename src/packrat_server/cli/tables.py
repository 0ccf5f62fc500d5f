"""Shows records: aligned columns for people, JSON for programs.

Names and texts come from others, so none of them may steer the terminal; JSON has them as they are.

Usage:

    show_list([{"name": "dev", "files": 3}], ("name", "files"), as_json=False)
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from packrat_core.text import printable

json_option = click.option("--json", "as_json", is_flag=True, help="JSON for programs, in place of a table.")
_GAP = "  "


def show_list(records: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print records, one a line, under the names of the columns.

    Args:
        records: The records; JSON has all of their fields.
        columns: The fields that the table has.
        as_json: Print JSON.
    """
    if as_json:
        click.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    rows = [[cell(record[column]) for column in columns] for record in records]
    heads = [column.replace("_", " ") for column in columns]
    widths = [max(len(row[number]) for row in (heads, *rows)) for number in range(len(columns))]
    click.echo(click.style(_aligned(heads, widths), bold=True))
    for row in rows:
        click.echo(_aligned(row, widths))


def show_each(records: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print records one after the other, a field a line, with an empty line between two; JSON is a list."""
    if as_json:
        click.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    for number, record in enumerate(records):
        if number:
            click.echo()
        show_one(record, as_json=False)


def show_one(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one record, a field a line."""
    if as_json:
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    width = max(map(len, record))
    for name, value in record.items():
        click.echo(f"{name.replace('_', ' '):<{width}}{_GAP}{cell(value)}".rstrip())


def cell(value: Any) -> str:
    """Write a value for people."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.replace(tzinfo=UTC).isoformat(sep=" ", timespec="seconds")
        case str() | int() | float():
            return printable(str(value)) or "-"
        case Mapping():
            return ", ".join(f"{printable(str(name))} {cell(part)}" for name, part in value.items()) or "-"
        case Iterable():
            return ", ".join(map(cell, value)) or "-"
    return printable(str(value))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
