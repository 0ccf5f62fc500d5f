"""`packrat-agent config`: checks the configuration and prints what is in force."""

import os
from pathlib import Path

import click
import structlog

from packrat_agent.cli.config_option import config_option
from packrat_agent.cli.next_step import command_line
from packrat_agent.config.checks import warn as warn_of_config
from packrat_agent.config.describe import describe
from packrat_agent.config.load import load
from packrat_agent.config.plain_http import warn_of_plain_http
from packrat_agent.config.settings import Config
from packrat_core.cli import tell_next

log = structlog.get_logger()


@click.command("config")
@config_option
@click.pass_obj
def config_command(config_path: Path) -> None:
    """Check the configuration and print what is in force. Secrets are masked."""
    config = load(config_path)
    click.echo(describe(config), nl=False)
    _log_warnings(config)
    # Unlike Path.exists, this raises nothing where a directory is closed.
    if not os.path.exists(config.mirror.state_db):  # noqa: PTH110
        dry_run, init = command_line(config_path, "sync", "--dry-run"), command_line(config_path, "init")
        tell_next(f"{dry_run} says what the first sync would do; {init} sets up all that is missing")


def load_and_warn(config_path: Path) -> Config:
    """Read the configuration, and log what is unwise in it.

    Raises:
        ConfigError: The configuration can't be used.
    """
    config = load(config_path)
    _log_warnings(config)
    return config


def _log_warnings(config: Config) -> None:
    for warning in warn_of_config(config):
        log.warning("config", text=warning)
    if (unencrypted := warn_of_plain_http(config.packrat)) is not None:
        log.warning("plain-http", text=unencrypted)
