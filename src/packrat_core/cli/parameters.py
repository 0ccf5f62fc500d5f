"""Types of options and arguments that click lacks: a file that can be read, and an integer whose bounds are told."""

from pathlib import Path
from typing import Any

import click

from packrat_core.text import printable


class GivenFile(click.Path):
    """A file that a command reads: a path, refused before any work where there is none or this user may not read it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Make sure that the file can be opened.

        Args:
            value: The path.
            param: The option or argument.
            ctx: The command.

        Raises:
            click.BadParameter: It can't be.
        """
        from packrat_core.fs.open import open_given
        from packrat_core.fs.ownership import explain_unread

        path = Path(value)
        try:
            open_given(path).close()
        except FileNotFoundError:
            self.fail(f"there is no file {printable(str(path))}", param, ctx)
        except OSError as error:
            self.fail(f"{printable(str(path))} can't be read: {explain_unread(path, error)}", param, ctx)
        return path


class Between(click.IntRange):
    """An integer within bounds, both of which the message about a wrong value names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the value.

        Args:
            value: The number as text.
            param: The option or argument.
            ctx: The command.

        Raises:
            click.BadParameter: It is something else.
        """
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{str(value)[:100]!r} is not an integer between {self.min} and {self.max}", param, ctx)
