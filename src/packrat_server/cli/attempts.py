"""Works through the files of a command: one that is refused is reported, the others are done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from packrat_core.cinp.refusals import SessionEnded
from packrat_core.errors import ServerRefused
from packrat_core.text import count_of


class Attempts:
    """Reports the files of a command that are refused, and counts them."""

    def __init__(self, names: Sequence[object]) -> None:
        self._total = len(names)
        self._refused = 0

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Do one file of the list; a refusal is reported and counted, or raised where the list has no other file.

        Raises:
            ServerRefused: The only file of the list is refused.
            SessionEnded: The session is over, so no other file can be done either.
        """
        try:
            yield
        except SessionEnded:
            raise
        except (ServerRefused, OSError) as error:
            reason = error if isinstance(error, ServerRefused) else f"it can't be read: {error.strerror}"
            refusal = ServerRefused(f"{name}: {reason}")
            if self._total == 1:
                raise refusal from None
            click.echo(f"packrat-server: {refusal}", err=True)
            self._refused += 1

    def finish(self) -> None:
        """End the command.

        Raises:
            ServerRefused: Files were refused; the message has their number.
        """
        if self._refused:
            done = self._total - self._refused
            raise ServerRefused(
                f"{self._refused} of {count_of(self._total, 'file')} refused, {done} done", hint="see the lines above"
            )


def report(uri: str, name: str, notes: Sequence[str]) -> None:
    """Print one package file of a command, with notes in brackets.

    Args:
        uri: Its URI.
        name: Its name, or the URI again where the command was given that.
        notes: What became of it.
    """
    line = uri if name == uri else f"{uri} {name}"
    click.echo(f"{line} ({', '.join(notes)})" if notes else line)
