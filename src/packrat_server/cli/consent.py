"""Asks before a command takes something away from clients.

1. `--dry-run` shows what would change, and changes nothing.
2. The command first says what clients would lose. On a terminal it then asks; elsewhere it refuses, and names `--yes`.
3. An open question never blocks other writers: the change is undone, and made again after the answer. If
   somebody else changed the same thing before the answer, the command ends without a change.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ConfigError, Held
from packrat_core.text import printable
from packrat_server.cli.reason_option import reason_option

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from packrat_server.admin.record_change import Approval, RecordChange


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent that the command line gives beforehand: `--yes`, `--dry-run` and `--reason`."""

    yes: bool
    dry_run: bool
    reason: str = ""

    def ask(self, losses: Sequence[str]) -> None:
        """Ask for what takes something away from clients.

        Raises:
            Held: Nobody agreed.
        """
        if not losses or self.yes:
            return
        for loss in losses:
            click.echo(printable(loss), err=True)
        if not sys.stdin.isatty():
            raise Held(
                "nothing was changed: this takes something away from clients",
                hint="add --yes if that is meant, or --dry-run to see what would change",
            )
        with _interruptible():
            agreed = click.confirm("Go on?", err=True)
        if not agreed:
            raise Held("nothing was changed")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once.

    In an event loop it would cancel the task instead, which waits for the answer and so never hears of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def with_consent(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--yes`, `--dry-run` and `--reason` to a command, which gets them as `consent`."""

    @reason_option
    @click.option("--yes", is_flag=True, help="Don't ask before taking something away from clients.")
    @click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
    @wraps(command)
    def take(*, yes: bool, dry_run: bool, reason: str, **given: Any) -> Any:
        return command(consent=Consent(yes, dry_run, reason), **given)

    return take


class _Withheld(Exception):
    """A change was undone, since nobody has agreed to it yet."""

    def __init__(self, change: "RecordChange") -> None:
        super().__init__()
        self.change = change


def carry_out(
    what: str, data: Path, change: "Callable[[Engine, Approval], RecordChange]", consent: Consent
) -> "RecordChange":
    """Make a change of one record, with consent if clients lose something by it, and print it.

    Args:
        what: The record: `repository apt-dev`.
        data: The server's data directory.
        change: Makes the change, and asks for the approval before it commits.
        consent: What the command line says beforehand.

    Returns:
        The change; its secret is None where nothing was changed.

    Raises:
        Held: Nobody agreed.
        ConfigError: Somebody else changed the record while the question was open.
    """

    from packrat_server.admin.record_change import Approval
    from packrat_server.store.database import open_database

    engine = open_database(data)

    def withhold(made: "RecordChange") -> None:
        if consent.dry_run or (made.losses and not consent.yes):
            raise _Withheld(made)

    try:
        made = change(engine, Approval(withhold, consent.reason))
    except _Withheld as withheld:
        made = withheld.change
        if consent.dry_run:
            return _show_dry_run(what, made)
        consent.ask(made.losses)
        made = change(engine, Approval(partial(_check_agreed, what, made), consent.reason))
    for line in made.lines(what):
        click.echo(line)
    return made


def _show_dry_run(what: str, made: "RecordChange") -> "RecordChange":
    for line in (*made.lines(what), *map(printable, made.losses)):
        click.echo(line)
    click.echo("dry run: nothing was changed", err=True)
    tell_next("the same command without --dry-run does it")
    return replace(made, secret=None, losses=())


def _check_agreed(what: str, agreed: "RecordChange", made: "RecordChange") -> None:
    if (made.before, made.losses) != (agreed.before, agreed.losses):
        raise ConfigError(
            f"{what} was changed by somebody else, so nothing was changed",
            hint="look at it again, and repeat the command if it is still meant",
        )
