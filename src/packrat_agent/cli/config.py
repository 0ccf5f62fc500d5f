"""`packrat-agent config`: checks the configuration and prints what is in force."""

import os
from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.cli.next_step import command_line
from packrat_core.cli.tell_next import tell_next


@click.command("config")
@config_option
@click.pass_obj
def config_command(config_path: Path) -> None:
    """Check the configuration and print what is in force. Secrets are masked."""
    from packrat_agent.cli.load_config import log_warnings
    from packrat_agent.config.describe import describe
    from packrat_agent.config.load import load
    from packrat_core.fs.in_time import in_time

    # Unlike Path.exists, os.path.exists raises nothing where a directory is closed.
    config, is_begun = in_time(
        lambda: (loaded := load(config_path), os.path.exists(loaded.mirror.state_db)), config_path
    )
    click.echo(describe(config), nl=False)
    log_warnings(config)
    if not is_begun:
        dry_run, init = command_line(config_path, "sync", "--dry-run"), command_line(config_path, "init")
        tell_next(f"{dry_run} says what the first sync would do; {init} sets up all that is missing")
