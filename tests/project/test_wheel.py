"""The wheel: the same bytes from each build, with all that an installation by pipx or uv needs."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_TOP = Path(__file__).parents[2]
_IN_A_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "src")


def _build(directory: Path, mtime_s: int) -> Path:
    """Build the wheel in a copy of the project whose files have another date and mode."""
    directory.mkdir()
    for name in _IN_A_WHEEL:
        source = _TOP / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory)
    for path in directory.rglob("*"):
        os.utime(path, (mtime_s, mtime_s))
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)
    (wheel,) = (directory / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("wheel") / "first", 1_700_000_000)


def test_two_builds_have_the_same_sha256(wheel: Path, tmp_path: Path) -> None:
    other = _build(tmp_path / "second", 1_600_000_000)
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, other))
    assert (wheel.name, first) == (other.name, second)


def test_the_wheel_has_the_files_that_are_not_modules(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = _TOP / "src"
    data = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and path.suffix in (".conf", ".sql", ".service", ".typed", ".ini", ".toml")
    }
    assert "packrat_agent/setup/packrat-agent.service" in data
    assert data <= names


def test_the_wheel_installs_both_programs(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(wheel)], check=True, capture_output=True)
    # The package that is imported must be that of the wheel, not the project that is tested.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for program in ("packrat-agent", "packrat-server"):
        command = [sys.executable, str(tmp_path / "site/bin" / program), "--help"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"Usage: {program}" in done.stdout
