"""The click group of both programs: it imports a command when that is called, and tells errors in one sentence.

`--help` shows one line a command, and monitoring calls `check` every minute: neither waits for what the other commands
import. So the group lists names and summaries:

    main.add_command(CommandInModule("status", "packrat_agent.cli.status:status_command", "Say how the mirror stands."))
"""

import errno
import os
import sys
from importlib import import_module
from traceback import walk_tb
from typing import Any

import click

from packrat_core.errors import DiskError, PackratError

_WRITERS = ("click", "rich")
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def tell_next(text: str, *, at_terminal: bool = False) -> None:
    """Say, behind what a command printed, what comes next; on stderr, since stdout is the answer.

    Args:
        text: What comes next.
        at_terminal: Say it to people alone: scripts repeat this command every day.
    """
    if not at_terminal or sys.stderr.isatty():
        click.echo(f"next: {text}", err=True)


def _is_of_output(error: OSError) -> bool:
    """Tell whether an error comes from what writes to stdout, not from a file that a command writes."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).partition(".")[0] in _WRITERS or frames[-1].f_globals is globals()


class CommandInModule(click.Command):
    """Stands for a command in its group's list, until the command itself is called or its help is asked for."""

    def __init__(self, name: str, place: str, summary: str) -> None:
        """Name a command without importing it.

        Args:
            name: The command's name.
            place: Its module and its name there, `module:name`.
            summary: The first sentence of its help, for the help of the group.
        """
        super().__init__(name, short_help=summary)
        self._place = place

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self._place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


class ErrorTellingGroup(click.Group):
    """A group of commands whose errors are told after the group's name, which is that of the program."""

    def main(self, *args: Any, **more: Any) -> Any:
        """Run the program; that its output can't be written is told, too, also where the last of it is written."""
        try:
            try:
                return super().main(*args, **more)
            finally:
                if sys.stdout is not None and not sys.stdout.closed:
                    sys.stdout.flush()
        except OSError as error:
            if error.errno not in (errno.EPIPE, *_UNWRITABLE) or not _is_of_output(error):
                raise
            # Python would try to write the rest at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if error.errno == errno.EPIPE:
                # Whoever read it wants no more.
                sys.exit(1)
            told = DiskError(
                f"the output can't be written: {error.strerror}",
                hint="make room where it goes to, and give the command again",
            )
            click.echo(f"{self.name}: {told}", err=True)
            sys.exit(told.exit_code)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments call, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, CommandInModule) else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a PackratError goes to stderr."""
        try:
            return super().invoke(ctx)
        except PackratError as error:
            click.echo(f"{self.name}: {error}", err=True)
            ctx.exit(error.exit_code)
