"""What a command imports before it works: those that people and monitoring call all the time import little."""

import gc
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from types import ModuleType

import click
import pytest

import packrat_agent.cli
import packrat_server.cli
from packrat_agent.cli import main as agent_cli
from packrat_agent.state.store import Store
from packrat_core.cli.command_group import CommandInModule
from packrat_server.admin import new_server
from packrat_server.cli import main as server_cli
from support.mirror_conf import write_mirror_conf

# Prints on stderr, last, what is imported when the program ends.
_PROGRAM = """
import atexit, sys
from {module}.main import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main(prog_name="{name}")
"""


def canonical(distribution: str) -> str:
    """A distribution's name without a version, as it compares."""
    found = re.match(r"[\w.-]+", distribution)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def libraries(modules: set[str]) -> set[str]:
    """Which of the packages that the project depends on are among the modules."""
    needed = {canonical(requirement) for requirement in requires("packrat-agent") or ()}
    tops = packages_distributions()
    return {
        top for top in {name.partition(".")[0] for name in modules} if needed & {*map(canonical, tops.get(top, ()))}
    }


def rooms(modules: set[str]) -> set[str]:
    """Which rooms of the agent and of the server are among the modules."""
    parts = (name.split(".") for name in modules if name.startswith(("packrat_agent.", "packrat_server.")))
    return {part[1] for part in parts}


def ended(module: str, *arguments: str, answers: bool = True) -> tuple[list[str], set[str]]:
    """The lines that a command prints, and the modules that it has imported when it ends."""
    program = _PROGRAM.format(module=module, name=module.partition(".")[0].replace("_", "-"))
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout or not answers, done.stderr[-1000:]
    return done.stdout.splitlines(), set(done.stderr.splitlines()[-1].split())


def imported(module: str, *arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    return ended(module, *arguments)[1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A configuration whose state database exists."""
    directory = tmp_path_factory.mktemp("mirror")
    (directory / "state").mkdir()
    (directory / "www").mkdir()
    Store(directory / "state/state.db").close()
    return str(write_mirror_conf(directory, packrat="psk: s3cr3t-psk"))


@pytest.mark.parametrize("program", ["packrat_agent.cli", "packrat_server.cli"])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_help_of_a_program_imports_no_command(program: str, arguments: list[str]) -> None:
    found = imported(program, *arguments)
    assert libraries(found) == {"click"}
    assert rooms(found) == {"cli"}
    assert {name for name in found if name.startswith(f"{program}.")} == {f"{program}.main"}


def test_monitoring_imports_what_reads_the_state_and_nothing_that_changes_it(config: str) -> None:
    reading = {"cli", "config", "state", "status"}
    found = imported("packrat_agent.cli", "--config", config, "check")
    assert (libraries(found), rooms(found)) == ({"click"}, reading)
    found = imported("packrat_agent.cli", "--config", config, "status", "--json")
    assert (libraries(found), rooms(found)) == ({"click"}, reading)
    found = imported("packrat_agent.cli", "--config", config, "status")
    assert (libraries(found), rooms(found)) == ({"click"}, reading)
    # Each of them would take a tenth of the time, or more.
    assert not {"importlib.resources", "tempfile", "shutil", "difflib", "asyncio"} & found


def test_verify_imports_neither_the_log_nor_what_only_some_trees_and_terminals_need(config: str) -> None:
    # Each takes longer to import than most trees to verify.
    found = imported("packrat_agent.cli", "--config", config, "verify")
    assert libraries(found) <= {"click", "backports"}
    assert not {"asyncio", "email.parser", "http.client", "packrat_agent.verify.real_clients"} & found


@pytest.mark.parametrize("work", ["sync_once", "follow"])
def test_a_sync_imports_the_types_that_its_repositories_have_when_it_comes_to_them(work: str) -> None:
    code = f"import sys, packrat_agent.cli.{work}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    found = set(done.stdout.split())
    assert "packrat_agent.formats.table" in found
    assert not {name for name in found if re.fullmatch(r"packrat_agent\.formats\.\w+\.(format|render|unpack)", name)}
    # What only wheels, and only images, are read with.
    assert not {"packaging", "packrat_core.packages.image.layout"} & found


def named(group: click.Group) -> Iterator[list[str]]:
    """All commands of a group, by the words that call them."""
    for name, entry in group.commands.items():
        command = entry.load() if isinstance(entry, CommandInModule) else entry
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, *words] for words in named(command))


COMMANDS = [
    pytest.param(program, words, id=f"{program.partition('.')[0]} {' '.join(words)}")
    for program, main in (("packrat_agent.cli", agent_cli.main), ("packrat_server.cli", server_cli.main))
    for words in named(main)
]


@pytest.mark.parametrize(("program", "words"), COMMANDS)
def test_the_help_of_a_command_waits_for_nothing_that_its_work_needs(program: str, words: list[str]) -> None:
    lines, found = ended(program, *words, "--help")
    assert lines[0].startswith("Usage: ")
    assert libraries(found) == {"click"}
    assert not {"asyncio", "ssl", "email", "http.client"} & found


def test_a_format_is_imported_when_it_is_asked_for() -> None:
    code = """
import sys
from packrat_agent.formats.table import FORMATS
assert "apt" in FORMATS and "deb" not in FORMATS and FORMATS.get("deb") is None and len(FORMATS) == len([*FORMATS])
for kind in FORMATS:
    assert f"packrat_agent.formats.{kind}.format" not in sys.modules
    assert FORMATS[kind] is FORMATS[kind]
    assert f"packrat_agent.formats.{kind}.format" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_commands_own_help_imports_that_command_alone() -> None:
    found = imported("packrat_agent.cli", "site", "--help")
    assert {name for name in found if name.startswith("packrat_agent.cli.")} == {
        "packrat_agent.cli.config_option",
        "packrat_agent.cli.main",
        "packrat_agent.cli.site",
    }


@pytest.mark.parametrize("arguments", [["upload", __file__], ["tag", "dev", "x"], ["promote", "x", "--to", "dev"]])
def test_commands_that_speak_to_a_server_do_without_its_database(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKRAT_PASSWORD", "secret")
    # Nothing listens on port 9; the error is on stderr, and the modules behind it.
    _, found = ended("packrat_server.cli", *arguments, "--url", "http://127.0.0.1:9", answers=False)
    assert "aiohttp" in found
    assert "sqlalchemy" not in found


@pytest.mark.parametrize("arguments", [["repo", "list"], ["find", "x"], ["where", "x"]])
def test_commands_that_read_a_database_import_nothing_that_migrates_it_and_no_driver_of_another(
    tmp_path: Path, arguments: list[str]
) -> None:
    new_server.init(tmp_path / "data")
    _, found = ended("packrat_server.cli", *arguments, "--data", str(tmp_path / "data"), answers=False)
    assert "sqlalchemy" in found
    assert not {"alembic", "psycopg"} & found


def defined(package: ModuleType) -> Iterator[click.Command]:
    """The commands and groups of a package's modules that are in no group."""
    found: dict[int, click.Command] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in ("main", "__main__"):
            values = vars(import_module(f"{package.__name__}.{module.name}")).values()
            found |= {id(value): value for value in values if isinstance(value, click.Command)}
    groups = [value for value in found.values() if isinstance(value, click.Group)]
    inner = {id(below) for group in groups for below in group.commands.values()}
    yield from (value for key, value in found.items() if key not in inner)


@pytest.mark.parametrize(
    ("package", "main"), [(packrat_agent.cli, agent_cli.main), (packrat_server.cli, server_cli.main)]
)
def test_the_list_has_each_command_and_the_first_sentence_of_its_help(package: ModuleType, main: click.Group) -> None:
    listed = {}
    for name, entry in main.commands.items():
        assert isinstance(entry, CommandInModule)
        command = entry.load()
        assert command.name == name
        assert entry.get_short_help_str() == command.get_short_help_str(limit=1000)
        listed[name] = command
    assert listed == {command.name: command for command in defined(package)}


def test_completion_in_a_shell_imports_no_command_before_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PACKRAT_AGENT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "packrat-agent s")
    monkeypatch.setenv("COMP_CWORD", "1")
    lines, found = ended("packrat_agent.cli")
    assert lines == ["plain,serve", "plain,site", "plain,status", "plain,sync"]
    assert rooms(found) == {"cli"}
    monkeypatch.setenv("COMP_WORDS", "packrat-agent status --")
    monkeypatch.setenv("COMP_CWORD", "2")
    lines, _ = ended("packrat_agent.cli")
    assert {"plain,--json", "plain,--events"} <= set(lines)


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_not_looked_for_while_a_command_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, collects: bool
) -> None:
    (tmp_path / "quiet_command.py").write_text("import click, gc\nSEEN = gc.isenabled()\nrun = click.Command('run')\n")
    (tmp_path / "broken_command.py").write_text("raise ImportError('no')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        CommandInModule("run", "quiet_command:run", "Run.").load()
        assert gc.isenabled() is collects
        with pytest.raises(ImportError):
            CommandInModule("run", "broken_command:run", "Run.").load()
        assert gc.isenabled() is collects
        assert sys.modules.pop("quiet_command").SEEN is False
    finally:
        (gc.enable if before else gc.disable)()
