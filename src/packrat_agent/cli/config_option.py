"""The option that names the configuration, which may stand before a command or behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _take(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.obj = path


def config_option(command: F) -> F:
    """Let a command take `-c FILE`, too, in place of the one before it."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, readable=False),
        expose_value=False,
        callback=_take,
        help="The configuration file, in place of one named before the command.",
    )(command)
