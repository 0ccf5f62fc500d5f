"""Every command and option of ours that a page names, in a block or in its text, is one that the programs take."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from packrat_agent.cli import main as agent_cli
from packrat_core.cli.command_group import CommandInModule
from packrat_server.cli import main as server_cli

_TOP = Path(__file__).parents[2]
_PAGES = [_TOP / "README.md", _TOP / "SECURITY.md", _TOP / "CONTRIBUTING.md", *sorted(_TOP.glob("docs/*.md"))]
_PROGRAMS: dict[str, click.Group] = {"packrat-agent": agent_cli.main, "packrat-server": server_cli.main}
_OTHERS = {
    "--baseurl": "createrepo_c",
    "--collector.textfile.directory": "node_exporter",
    "--compress-type": "createrepo_c",
    "--deltas": "createrepo_c",
    "--extra-index-url": "pip",
    "--gpg-auto-import-keys": "zypper",
    "--groupfile": "createrepo_c",
    "--index-strategy": "uv",
    "--index-url": "pip",
    "--location-prefix": "createrepo_c",
    "--newest-only": "dnf reposync",
    "--output": "gpgv",
    "--real-sizes": "make bench",
    "--refresh": "zypper",
    "--remove-signatures": "skopeo",
    "--require-hashes": "pip",
    "--retain-old-md": "createrepo_c",
    "--update": "make bench",
    "--with-subkey-fingerprint": "gpg",
    "--zck": "createrepo_c",
}
"""Options in a page's text that belong to other programs → those."""


def _code(text: str) -> Iterator[str]:
    """The lines of blocks and the spans of code of a page."""
    text = re.sub(r"\\\n\s*", "", text)
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    prose = re.sub(r"^ *```\w*\n.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`]+)`", prose):
        yield " ".join(span.split())


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The command lines of our programs: program and arguments."""
    for code in _code(text):
        for program, rest in re.findall(
            r"(?:^|-- |\$ |: )(?:/\S*/)?(packrat-(?:agent|server)) ((?:'[^']*'|[^|>;&#)])*)", code
        ):
            yield program, rest.strip()


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, with their names in full."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        command = command.load() if isinstance(command, CommandInModule) else command
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path}{name} ")


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


_COMMANDS = [(name, command) for program in _PROGRAMS.values() for name, command in _commands(program)]
_OPTIONS = {"--help", "--version"}.union(*(_options(command) for _, command in _COMMANDS))
_OPTIONS |= _options(agent_cli.main) | _options(server_cli.main)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_command_lines_are_accepted(page: Path) -> None:
    for program, rest in _lines(page.read_text()):
        words = [word for word in shlex.split(rest) if word not in ("…", "*")]
        # `--help` last: the options before it are parsed, nothing is done.
        done = CliRunner().invoke(_PROGRAMS[program], [*words, "--help"])
        assert done.exit_code == 0, f"{page.name}: {program} {rest}\n{done.output}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_options_of_commands_that_are_named_without_their_program_exist(page: Path) -> None:
    for code in _code(page.read_text()):
        named = re.match(r"([a-z][a-z-]*(?: [a-z][a-z-]*)*)(?: [A-Z]+)?((?: --[a-z-]+.*)?)$", code)
        candidates = [command for name, command in _COMMANDS if named is not None and named[1] == name]
        if named is not None and candidates:
            options = set(re.findall(r"--[a-z-]+", named[2]))
            assert any(options <= _options(command) for command in candidates), f"{page.name}: {code}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_options_that_stand_alone_in_the_text_exist(page: Path) -> None:
    for code in _code(page.read_text()):
        for option in re.findall(r"^(--[a-z][a-z.-]*)", code):
            assert option in _OPTIONS or option in _OTHERS, f"{page.name}: {code}"
