"""Reads the configuration for a command that works with it, and logs what is unwise in it."""

from pathlib import Path

import structlog

from packrat_agent.config.checks import warn
from packrat_agent.config.load import load
from packrat_agent.config.plain_http import warn_of_plain_http
from packrat_agent.config.settings import Config

log = structlog.get_logger()


def load_and_warn(config_path: Path) -> Config:
    """Read the configuration, and log what is unwise in it.

    Raises:
        ConfigError: The configuration can't be used.
    """
    config = load(config_path)
    log_warnings(config)
    return config


def log_warnings(config: Config) -> None:
    """Log what is unwise in a configuration."""
    for warning in warn(config):
        log.warning("config", text=warning)
    if (unencrypted := warn_of_plain_http(config.packrat)) is not None:
        log.warning("plain-http", text=unencrypted)
