"""packrat-agent follows a packrat server and builds package repositories from it, signed where clients check that."""

from pathlib import Path

DEFAULT_CONFIG = Path("/etc/packrat/mirror.conf")
"""Where the configuration is looked for. It stands here since `--help` imports nothing else."""
