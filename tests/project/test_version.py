"""The version is written once: in packrat_core/__init__.py; programs, wheels and the changelog agree with it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from packrat_core import __version__

ROOT = Path(__file__).parents[2]
PLACE = Path("src/packrat_core/__init__.py")
OTHER = "7.8.9"
ENTRY_POINTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.fixture(scope="module")
def bumped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with another version at that one place."""
    copy = tmp_path_factory.mktemp("bumped")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / PLACE).read_text()
    assert text.count(__version__) == 1
    (copy / PLACE).write_text(text.replace(__version__, OTHER))
    return copy


def output_of(*command: str, directory: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", ["packrat-agent", "packrat-server"])
def test_programs_say_the_version_of_the_source_that_runs(program: str, bumped: Path) -> None:
    module, name = ENTRY_POINTS[program].split(":")
    code = f"import sys; sys.argv[0] = '{program}'; from {module} import {name}; {name}()"
    said = output_of(sys.executable, "-c", code, "--version", directory=bumped, PYTHONPATH=str(bumped / "src"))
    assert said == f"{program}, version {OTHER}\n"


def test_a_wheel_has_the_version_of_the_source(bumped: Path) -> None:
    assert output_of(sys.executable, "-m", "hatchling", "version", directory=bumped) == f"{OTHER}\n"


def test_the_version_is_written_nowhere_else() -> None:
    number = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?![\d.])")
    places = [
        ROOT / "pyproject.toml",
        ROOT / "Makefile",
        *(path for path in (ROOT / "packaging").rglob("*") if path.is_file() and path.suffix != ".pyc"),
    ]
    places += [path for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".sql", ".toml", ".in")]
    assert [path.relative_to(ROOT) for path in places if number.search(path.read_text())] == [PLACE]


def test_the_changelog_tells_of_this_version() -> None:
    releases = re.findall(r"^## \[?([^\]\s]+)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == "Unreleased"
    assert releases[1] == __version__
