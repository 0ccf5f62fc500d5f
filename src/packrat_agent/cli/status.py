"""`packrat-agent status`: shows how the mirror stands, to people or as JSON."""

import sys
from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.status.reading import load_and_read
from packrat_core.cli.parameters import Between
from packrat_core.fs.in_time import in_time


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; docs/operations.md describes it.")
@click.option(
    "--events", type=Between(0, 1000), default=10, show_default=True, help="How many of the last events to show."
)
@config_option
@click.pass_obj
def status_command(config_path: Path, as_json: bool, events: int) -> None:
    """Show the state of the mirror; changes nothing."""
    _, status = in_time(lambda: load_and_read(config_path, events), config_path)
    if as_json:
        click.echo(status.as_json())
    else:
        from packrat_agent.status.table import show_status

        show_status(status, sys.stdout)
