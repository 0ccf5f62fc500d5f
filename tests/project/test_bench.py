"""The benchmark measures what it says: everybody builds the repository that it asks for, and the table shows it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.arrival import percentile
from bench.corpus import build_corpus
from bench.costs import read_costs
from bench.meter import BenchError, Command, measure

TOP = Path(__file__).parents[2]
OURS = (
    "packrat-agent run, from the tag on",
    "packrat-agent, the sync alone",
    "packrat-agent sync",
    "packrat-agent sync, files on disk",
)
APT = (*OURS, "aptly", "reprepro", "apt-ftparchive", "apt-ftparchive and xz", "the floor")


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(line, cwd=TOP, capture_output=True, text=True, check=False, timeout=280)


def kept(directory: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows and arrivals in the one JSON file."""
    [path] = directory.glob("*.json")
    document = json.loads(path.read_text())
    return document["rows"], document["arrivals"]


def test_tables_of_everybody_and_everything_kept(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    options = ("--type", "apt", "--sizes", "10,20", "--rounds", "1", "--arrivals", "1", "--directory", work)
    done = bench(*options, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    table = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| full build")]
    assert [cells[2].strip() for cells in table] == [*APT, *APT]
    rows, arrivals = kept(tmp_path / "results")
    assert [(row["name"], row["packages"]) for row in rows] == [
        *((name, 10) for name in APT),
        *((name, 20) for name in APT),
    ]
    for row in rows:
        build = row["cells"]["full build"]
        assert min(build["seconds"], build["cpu_s"], build["written_bytes"]) > 0
        assert build["peak_kib"] > 1000
        assert (build["daemons_s"].get("server", 0) > 0) == row["name"].startswith("packrat-agent")
        assert (row["cells"]["one more"] is None) == row["name"].endswith("files on disk")
        assert (row["pulled_bytes"] or 0) > 500 or row["name"] in ("the floor", OURS[3])
    for arrival in arrivals:
        assert 0 < arrival["to_index_s"][0] < arrival["to_install_s"][0]
    assert "tag → apt-get install: p50 " in done.stdout
    picture = ElementTree.parse(tmp_path / "results/benchmark-apt.svg").getroot()
    assert len(picture.findall("{*}g")) == len(APT) - 1
    assert not list(work.iterdir()), "it left something behind"


def test_every_other_type_is_measured_beside_its_peer(tmp_path: Path) -> None:
    peers = {"yum": "createrepo_c", "pypi": "dumb-pypi", "docker": None, "json": "aria2c"}
    options = [option for kind in peers for option in ("--type", kind)]
    options += [option for name in ("inside", *filter(None, peers.values()), "floor") for option in ("--only", name)]
    done = bench(*options, "--sizes", "7", "--rounds", "1", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    rows, _ = kept(tmp_path)
    assert {(row["kind"], row["name"]) for row in rows} == {
        (kind, name) for kind, peer in peers.items() for name in (OURS[1], peer, "the floor") if name
    }


@pytest.mark.parametrize("option", ["--sizes", "--only"])
def test_a_wrong_value_is_reported(option: str) -> None:
    done = bench(option, "many")
    assert done.returncode == 2
    assert option in done.stderr


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 201)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([3.0], 0.99)) == (100, 198, 3)


def test_the_cost_of_a_running_process_and_its_children_is_read() -> None:
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7))']); print(1); input()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert read_costs(process.pid).cpu_s > 0.1
        process.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        read_costs(process.pid)


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
