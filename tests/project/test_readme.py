"""What the README and the pages beside it say is so."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from packrat_agent.cli import main as cli
from packrat_agent.config.load import load
from packrat_core.cli.command_group import CommandInModule
from packrat_server.cli import main as server_cli

_TOP = Path(__file__).parents[2]
_PAGES = sorted([*_TOP.glob("*.md"), *_TOP.glob("docs/**/*.md")])
_README = (_TOP / "README.md").read_text()


def _anchors(page: Path) -> set[str]:
    """The anchors that headings make."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(path), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_commands_in_the_pages_exist_with_their_options(page: Path) -> None:
    for command, rest in re.findall(r"packrat-agent (?:--[\w-]+ \S+ )*([a-z]+)((?: --[\w-]+)*)", page.read_text()):
        if command in cli.main.commands:
            listed = cli.main.commands[command]
            assert isinstance(listed, CommandInModule)
            options = {name for parameter in listed.load().params for name in parameter.opts}
            assert set(rest.split()) <= options | {"--help"}, f"{page.name}: packrat-agent {command}{rest}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_command_lines_of_the_server_in_the_pages_are_accepted(page: Path) -> None:
    text = page.read_text().replace("\\\n", "")
    for line in re.findall(r"^(?:.* -- )?(?:\S*/)?packrat-server ([a-z].*)$", text, re.MULTILINE):
        # `--help` last: the options before it are parsed, nothing is done.
        done = CliRunner().invoke(server_cli.main, [*shlex.split(line), "--help"])
        assert done.exit_code == 0, f"{page.name}: packrat-server {line}\n{done.output}"


def test_the_readme_names_only_commands_and_targets_that_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (_TOP / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", _README)) <= targets
    assert set(re.findall(r"^(?:\S*/)?packrat-agent ([a-z]+)", _README, re.MULTILINE)) <= set(cli.main.commands)
    for path in re.findall(r"(?:packaging|requirements|docs)/[\w.-]+", _README):
        assert (_TOP / path).exists(), path


def test_the_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(re.findall(r"```ini\n(.*?)```", _README, re.DOTALL)[0])
    load(path)
