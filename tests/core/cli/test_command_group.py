"""What the command lines of both programs tell of errors is a sentence, and steers no terminal."""

import asyncio
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from packrat_core.cli.command_group import CommandInModule, ErrorTellingGroup, InnerGroup
from packrat_core.errors import ConfigError, DiskError, PackratError

EVIL = "a\x1b[2J\nall good\u202e"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DiskError(f"can't read {EVIL}", hint="look"), "program: can't read a?[2J?all good?; look\n"),
        (ConfigError(f"one {EVIL}\ntwo"), "program: one a?[2J\nall good?\ntwo\n"),
    ],
)
def test_quotes_in_errors_are_printable(error: PackratError, told: str) -> None:
    group = ErrorTellingGroup("program")

    @group.command("fail")
    def fail() -> None:
        raise error

    done = CliRunner().invoke(group, ["fail"], color=True)
    assert (done.exit_code, done.stderr) == (error.exit_code, told)


@pytest.mark.parametrize(("line", "place"), [(["help"], "program"), (["inner", "help"], "program inner")])
def test_who_asks_a_group_for_help_by_that_word_is_told_the_option(line: list[str], place: str) -> None:
    group = ErrorTellingGroup("program")
    group.add_command(InnerGroup("inner", commands=[click.Command("take")]))
    done = CliRunner().invoke(group, line, prog_name="program")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == f"Error: No such command 'help'. See `{place} --help`."


def test_quotes_of_arguments_are_printable() -> None:
    group = ErrorTellingGroup("program")
    group.add_command(click.Command("take"))
    done = CliRunner().invoke(group, ["take", EVIL], color=True)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == "Error: Got unexpected extra argument (a?[2J?all good?)"


def test_a_group_without_a_command_shows_its_help_line_by_line() -> None:
    group = ErrorTellingGroup("program")
    inner = InnerGroup("inner", help="Take it.")
    inner.add_command(click.Command("take", help="Take it."))
    group.add_command(inner)
    asked = CliRunner().invoke(group, ["inner", "--help"])
    bare = CliRunner().invoke(group, ["inner"])
    assert bare.output == asked.output


_NO_THREAD = """
import resource, threading
from packrat_core.cli.command_group import ErrorTellingGroup
group = ErrorTellingGroup("program")
end = threading.Event()
@group.command("start")
def start():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    try:
        while True:
            threading.Thread(target=end.wait).start()
    finally:
        end.set()
group.main(["start"])
"""


def test_a_limit_on_memory_or_threads_is_reported_in_a_sentence() -> None:
    group = ErrorTellingGroup("program")

    @group.command("take")
    def take() -> None:
        bytearray(1 << 62)

    done = CliRunner().invoke(group, ["take"])
    assert (done.exit_code, done.stderr.partition(";")[0]) == (1, "program: this process gets no more memory")
    assert "MemoryMax=" in done.stderr
    ended = subprocess.run([sys.executable, "-c", _NO_THREAD], capture_output=True, text=True, check=False)
    told = "program: this process gets no more memory or threads"
    assert (ended.returncode, ended.stderr.partition(";")[0], ended.stderr.count("\n")) == (1, told, 1)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError(), ValueError("no")])
def test_a_limit_is_reported_also_where_one_of_several_tasks_meets_it(error: Exception) -> None:
    group = ErrorTellingGroup("program")

    @group.command("download")
    def download() -> None:
        async def meet() -> None:
            raise error

        async def work() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(meet())

        asyncio.run(work())

    done = CliRunner().invoke(group, ["download"])
    if isinstance(error, ValueError):
        assert isinstance(done.exception, ExceptionGroup)
    else:
        assert done.stderr.startswith("program: this process gets no more memory")


def test_another_error_is_not_taken_for_want_of_memory() -> None:
    group = ErrorTellingGroup("program")

    @group.command("fail")
    def fail() -> None:
        raise RuntimeError("dictionary changed size during iteration")

    done = CliRunner().invoke(group, ["fail"])
    assert isinstance(done.exception, RuntimeError)


def test_a_module_that_is_not_installed_is_reported_unless_it_is_ours() -> None:
    """As of packrat-server, where the wheel was installed without its extra."""
    group = ErrorTellingGroup("program")
    group.add_command(CommandInModule("theirs", "nobody_has_this:command", "Fail."))
    group.add_command(CommandInModule("ours", "packrat_core.nobody_has_this:command", "Fail."))
    done = CliRunner().invoke(group, ["theirs"])
    assert done.exit_code == 2
    assert "program: this command needs the Python module nobody_has_this, which is not installed" in done.stderr
    assert "`packrat-agent[server]`" in done.stderr
    assert isinstance(CliRunner().invoke(group, ["ours"]).exception, ModuleNotFoundError)
