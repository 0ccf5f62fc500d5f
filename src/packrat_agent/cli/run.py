"""`packrat-agent run`: follows the server until SIGTERM."""

from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_core.cli.quick_import import quick_import


@click.command("run")
@config_option
@click.pass_obj
def run_command(config_path: Path) -> None:
    """Run a full sync, then follow the server until SIGTERM. SIGHUP reloads the configuration."""
    with quick_import():
        from packrat_agent.cli.follow import follow

    follow(config_path)
