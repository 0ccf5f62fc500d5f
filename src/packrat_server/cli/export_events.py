"""`packrat-server export-events`: writes what happened as JSON lines."""

import json
from pathlib import Path

import click

from packrat_core.cli.parameters import Between
from packrat_server.cli.data_option import data_option


@click.command("export-events")
@click.option(
    "--after",
    type=Between(0, 2**63 - 1),
    default=0,
    metavar="ID",
    help="Only the events after this one: the last of an earlier export.",
)
@data_option
def export_events_command(after: int, data: Path) -> None:
    """Write the history as JSON lines.

    Each line is an event, the oldest first: who changed what, when, why, before and after.
    """
    from packrat_server.store.database import open_database, reading
    from packrat_server.store.events import all_events

    with reading(open_database(data)) as connection:
        for event in all_events(connection, after):
            click.echo(json.dumps(event, ensure_ascii=False))
