"""Writes the command that comes next, for the same configuration."""

from pathlib import Path
from shlex import join

from packrat_agent import DEFAULT_CONFIG


def command_line(config_path: Path, *words: str) -> str:
    """Write a command as it is given for this configuration."""
    options = [] if config_path == DEFAULT_CONFIG else ["--config", str(config_path)]
    return f"`{join(['packrat-agent', *options, *words])}`"
