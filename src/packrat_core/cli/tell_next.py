"""Says what comes next, behind the answer of a command."""

import sys

import click


def tell_next(text: str, *, at_terminal: bool = False) -> None:
    """Say, behind what a command printed, what comes next; on stderr, since stdout is the answer.

    Args:
        text: What comes next.
        at_terminal: Say it to people alone: scripts repeat this command every day.
    """
    if not at_terminal or sys.stderr.isatty():
        click.echo(f"next: {text}", err=True)
