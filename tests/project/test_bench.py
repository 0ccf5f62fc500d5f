"""The benchmark measures what it says: everybody builds the repository that it asks for, and the table shows it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.corpus import build_corpus
from bench.meter import BenchError, Command, measure

TOP = Path(__file__).parents[2]
NAMES = (
    "packrat-agent, the pass alone",
    "packrat-agent run, from the tag on",
    "packrat-agent sync",
    "packrat-agent sync, files on disk",
    "aptly",
    "reprepro",
    "apt-ftparchive",
)


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(line, cwd=TOP, capture_output=True, text=True, check=False, timeout=120)


def test_one_table_of_everybody_and_everything_kept(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    done = bench("--sizes", "20", "--rounds", "1", "--directory", work, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    table = [line.split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert [cells[2].strip() for cells in table[2:]] == list(NAMES)
    [kept] = (tmp_path / "results").iterdir()
    rows = {row["name"]: row["cells"] for row in json.loads(kept.read_text())["rows"]}
    assert list(rows) == list(NAMES)
    for name, cells in rows.items():
        assert cells["full build"]["seconds"] > 0
        assert cells["full build"]["peak_kib"] > 1000
        assert (cells["one more"] is None) == name.endswith("files on disk")
    assert not list(work.iterdir()), "it left something behind"


def test_a_wrong_size_is_told() -> None:
    done = bench("--sizes", "many")
    assert done.returncode == 2
    assert "--sizes" in done.stderr


def test_the_corpus_is_valid_and_always_the_same(tmp_path: Path) -> None:
    first, second = (build_corpus(tmp_path / name, 12, 2, lambda made: None) for name in ("a", "b"))
    assert [package.sha256 for package in first.packages] == [package.sha256 for package in second.packages]
    assert {package.architecture for package in first.packages} == {"amd64", "all"}
    assert len({package.name for package in (*first.packages, *first.extra)}) == 14
    for package in first.extra:
        ask = ["dpkg-deb", "--show", "--showformat=${Package} ${Version} ${Architecture}", str(package.path)]
        told = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        assert told == f"{package.name} {package.version} {package.architecture}"
        listed = subprocess.run(["dpkg-deb", "-c", str(package.path)], capture_output=True, text=True, check=True)
        assert f"./usr/share/{package.name}/data" in listed.stdout


def test_time_and_memory_are_those_of_the_command() -> None:
    environment = {"PATH": os.environ["PATH"]}
    ballast = 60 * 1024 * 1024
    large = measure([Command([sys.executable, "-c", f"b = b'x' * {ballast}"], environment)])
    assert large.peak_kib * 1024 > ballast
    small = measure([Command(["true"], environment), Command(["true"], environment)])
    # The starter itself counts, so it must be small.
    assert small.peak_kib < 16 * 1024
    assert small.seconds > 0


def test_a_command_that_fails_ends_the_measurement() -> None:
    environment = {"PATH": os.environ["PATH"]}
    with pytest.raises(BenchError, match="told why"):
        measure([Command(["sh", "-c", "echo told why >&2; exit 3"], environment)])
