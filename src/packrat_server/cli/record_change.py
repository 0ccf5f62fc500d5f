"""Shows what a command changed."""

import click

from packrat_server.admin.record_change import RecordChange


def show_change(change: RecordChange, what: str) -> None:
    """Print each field that changed, before → after."""
    for line in change.lines(what):
        click.echo(line)
