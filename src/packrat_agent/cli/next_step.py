"""Says, behind what a command printed, what comes next; on stderr, since stdout is the answer."""

from pathlib import Path
from shlex import join

import click

from packrat_agent import DEFAULT_CONFIG


def tell_next(text: str) -> None:
    """Say what comes next."""
    click.echo(f"next: {text}", err=True)


def command_line(config_path: Path, *words: str) -> str:
    """Write a command as it is given for this configuration."""
    options = [] if config_path == DEFAULT_CONFIG else ["--config", str(config_path)]
    return f"`{join(['packrat-agent', *options, *words])}`"
