"""The click group of both programs: it imports a command when that is called, and tells errors in one sentence.

`--help` shows one line a command, and monitoring calls `check` every minute: neither waits for what the other commands
import. So the group lists names and summaries:

    main.add_command(CommandInModule("status", "packrat_agent.cli.status:status_command", "Say how the mirror stands."))
"""

from importlib import import_module
from typing import Any

import click

from packrat_core.errors import PackratError


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
