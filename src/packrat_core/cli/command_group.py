"""The groups of commands of both command lines, which import a command when it is called, and tell errors.

`--help` shows one line a command, and monitoring calls `check` every minute: neither waits for what the other commands
import. So a group lists names and summaries:

    main.add_command(CommandInModule("status", "packrat_agent.cli.status:status_command", "Show its state."))

The help of a command, and completion in a shell, wait for nothing that its work needs: the module of a command imports
what its options need, and the function of the command the rest.
"""

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from packrat_core.cli.quick_import import quick_import
from packrat_core.cli.standard_streams import UNREAD, let_stderr_lose, lose_unread_stdout, open_closed_streams
from packrat_core.errors import ConfigError, PackratError
from packrat_core.text import printable

_PREPARE = f"{__name__}.prepare"
# What a group raises that is called without a command; click 8.1 prints its help instead.
_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())


class CommandInModule(click.Command):
    """Stands for a command in its group's list, until the command itself is called or its help is asked for."""

    def __init__(
        self, name: str, place: str, summary: str, prepare: Callable[[click.Context], None] | None = None
    ) -> None:
        """Name a command without importing it.

        Args:
            name: The command's name.
            place: Its module and its name there, `module:name`.
            summary: The first sentence of its help, for the help of the group.
            prepare: Called with the command's context before it works, but not where only its help is asked for.
        """
        super().__init__(name, short_help=summary)
        self._place = place
        self._prepare = prepare

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self._place.partition(":")
        with quick_import():
            command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Import the command, and read its options and arguments; the context is that of the command itself."""
        context = self.load().make_context(*args, **more)
        if isinstance(context.command, click.Group):
            context.meta[_PREPARE] = self._prepare
        else:
            _be_prepared(context, self._prepare)
        return context


class _InnerCommand(click.Command):
    def make_context(self, *args: Any, **more: Any) -> click.Context:
        context = super().make_context(*args, **more)
        _be_prepared(context, context.meta.get(_PREPARE))
        return context


class InnerGroup(click.Group):
    """A group within the group of a program; each of its commands is prepared as those of the program are."""

    command_class = _InnerCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; who asks it for help is told how."""
        if args[0] == "help" and not ctx.resilient_parsing:
            ctx.fail(f"No such command 'help'. See `{ctx.command_path} --help`.")
        return super().resolve_command(ctx, args)


def _be_prepared(context: click.Context, prepare: Callable[[click.Context], None] | None) -> None:
    # A shell that completes a line reads its arguments, too, and nothing works then.
    if prepare is not None and not context.resilient_parsing:
        prepare(context)


class _BrokenPipe(Exception):
    """Carries a BrokenPipeError past click, which would end with exit code 1 and no word, whatever pipe that was."""


@contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _BrokenPipe from error


class ErrorTellingGroup(click.Group):
    """A group of commands whose errors are printed after the group's name, which is that of the program."""

    def __init__(self, *args: Any, other_names: Mapping[str, str] | None = None, **more: Any) -> None:
        """Name the group, as click does.

        Args:
            args: For click.
            other_names: Names under which people look for a command, and what to say of each.
            more: For click.
        """
        super().__init__(*args, **more)
        usual = {word: f"See `{self.name} --{word}`." for word in ("help", "version")}
        self._other_names = usual | dict(other_names or {})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none of this name, say what does that."""
        if args[0] in self._other_names and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}. {self._other_names[args[0]]}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **more: Any) -> Any:
        """Run the program; what the system refuses, and no other code has explained, goes to stderr in a sentence."""
        open_closed_streams()
        let_stderr_lose()
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            # An answer must not fail for a character that the terminal lacks, or a name that is not UTF-8.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **more)
        except _BrokenPipe as error:
            if lose_unread_stdout():
                sys.exit(UNREAD)
            # It is another pipe, and nothing that this program expects.
            raise error.__cause__ or error from None
        except ModuleNotFoundError as error:
            failure: PackratError = _tell_missing(error)
        except OSError as error:
            # Imported here, since monitoring calls the programs every minute.
            from packrat_core.fs.system_errors import explain_system_error

            failure = explain_system_error(error)
        except (MemoryError, RuntimeError, ExceptionGroup) as error:
            from packrat_core.fs.system_errors import explain_want_of_memory

            failure = explain_want_of_memory(error)
        self._tell(failure)
        sys.exit(failure.exit_code)

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the options of all commands, or print a help."""
        with _past_click():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a PackratError goes to stderr."""
        try:
            with _past_click():
                try:
                    return super().invoke(ctx)
                finally:
                    # At its end Python would flush it, too, but tell an error with a traceback.
                    if sys.stdout is not None:
                        sys.stdout.flush()
        except PackratError as error:
            self._tell(error)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            # An argument may be the name of a file that somebody else has made; help has lines and nothing of others.
            if not isinstance(error, _HELP):
                vars(error).update(message=printable(error.message))
            raise

    def _tell(self, error: PackratError) -> None:
        # Names of files may steer a terminal, or be lines of their own; the lines of mirror.conf's faults are ours.
        lines = str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]
        click.echo(f"{self.name}: " + "\n".join(map(printable, lines)), err=True)


def _tell_missing(error: ModuleNotFoundError) -> PackratError:
    """Say that something is not installed that this program needs.

    Raises:
        ModuleNotFoundError: It is a module of ours.
    """
    name = error.name or ""
    if not name or name.startswith("packrat_"):
        raise error
    return ConfigError(
        f"this command needs the Python module {name}, which is not installed here",
        hint="install this program again with all that it needs; for packrat-server, that is `packrat-agent[server]`",
    )
