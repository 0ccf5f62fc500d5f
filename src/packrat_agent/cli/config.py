"""`packrat-agent config`: checks the configuration and prints what is in force."""

from pathlib import Path

import click
import structlog

from packrat_agent.config.checks import warn as warn_of_config
from packrat_agent.config.describe import describe
from packrat_agent.config.load import load
from packrat_agent.config.plain_http import warn_of_plain_http
from packrat_agent.config.settings import Config

log = structlog.get_logger()


@click.command("config")
@click.pass_obj
def config_command(config_path: Path) -> None:
    """Check the configuration and print what is in force. Secrets are masked."""
    config = load(config_path)
    click.echo(describe(config), nl=False)
    _log_warnings(config)


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
