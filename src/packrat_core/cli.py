"""The click group of both programs: it tells every error of ours in one sentence and exits with that error's code."""

from typing import Any

import click

from packrat_core.errors import PackratError


class ErrorTellingGroup(click.Group):
    """A group of commands whose errors are told after the group's name, which is that of the program."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a PackratError goes to stderr."""
        try:
            return super().invoke(ctx)
        except PackratError as error:
            click.echo(f"{self.name}: {error}", err=True)
            ctx.exit(error.exit_code)
