"""Writes the command that comes next, for the same server."""

from collections.abc import Iterable
from pathlib import PurePath
from shlex import join

import click
from click.core import ParameterSource

from packrat_core.cli.tell_next import tell_next

_DATA = {"data": "--data"}
_SESSION = {"url": "--url", "user": "--user", "password_file": "--password-file", "ca_file": "--ca-file"}


def command_line(*words: str) -> str:
    """Write a command on the data directory, or the API, that this command works with.

    Variables of the environment hold for the next command, too, so what they say is not repeated.
    """
    context = click.get_current_context()
    options: list[str] = []
    for name, option in (_SESSION if "url" in context.params else _DATA).items():
        source = context.get_parameter_source(name)
        # A command that looks reads the data directory where no server is named.
        if source is ParameterSource.COMMANDLINE or (name == "url" and source is ParameterSource.DEFAULT):
            options += [option, str(context.params[name])]
    return f"`{join(['packrat-server', *words, *options])}`"


def tell_where(names: Iterable[str | PurePath]) -> None:
    """Say how to see which mirrors have published the files of a command: the first that has a name, not a URI."""
    found = [PurePath(name).name for name in names if not str(name).startswith("/api/")]
    if found:
        tell_next(f"{command_line('where', found[0])} says which mirrors have published it", at_terminal=True)
