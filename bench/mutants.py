"""`python -m bench.mutants`: changes the program in one place, runs the tests of that module, and counts who notices.

The sample is fixed by the seed, so that figures of two versions can be compared. Each mutant runs in a private copy of
`src`; the tests are those that TESTS names for the module. What survives is listed in a file under bench/results.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import click

from bench.mutate import Mutation, apply, find_mutations
from bench.table import RESULTS

_TOP = Path(__file__).parents[1]
_SEED = 10
_COUNT = 300
_TIMEOUT_S = 180.0

TESTS: dict[str, tuple[str, ...]] = {
    "packrat_agent/sync/plan.py": ("tests/agent/sync/test_plan.py",),
    "packrat_agent/sync/download.py": ("tests/agent/sync/test_download.py",),
    "packrat_agent/publish/writer.py": ("tests/agent/publish/test_writer.py",),
    "packrat_agent/publish/scan.py": (
        "tests/agent/publish/test_scan_and_gc.py",
        "tests/agent/publish/test_scan_slices.py",
    ),
    "packrat_agent/publish/scan_slices.py": ("tests/agent/publish/test_scan_slices.py",),
    "packrat_agent/publish/gc.py": ("tests/agent/publish/test_scan_and_gc.py",),
    "packrat_agent/gpg/keyring.py": ("tests/agent/gpg/test_keyring.py", "tests/agent/gpg/test_verdict.py"),
    "packrat_core/packages/deb/": (
        "tests/core/packages/deb/test_stanza.py",
        "tests/core/packages/deb/test_read_deb.py",
        "tests/core/packages/deb/test_relations.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/server/test_latest.py",
    ),
    "packrat_core/packages/rpm/": (
        "tests/core/packages/rpm/test_read_rpm.py",
        "tests/agent/formats/yum/test_render.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/server/test_latest.py",
        "tests/clients/test_rpm_signatures.py",
    ),
    "packrat_core/packages/python/": (
        "tests/core/packages/python/test_inspect.py",
        "tests/core/packages/python/test_metadata_differential.py",
        "tests/server/test_inspect_python.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/server/test_latest.py",
    ),
    "packrat_core/packages/image/": (
        "tests/core/packages/image/test_versions.py",
        "tests/core/packages/image/test_names.py",
        "tests/server/test_inspect_image.py",
        "tests/agent/formats/docker/test_unpack.py",
        "tests/agent/formats/docker/test_render.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/server/test_latest.py",
    ),
}
"""Module or folder below src → its tests; a fast one first, since the first failure ends a run."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module, one mutation of it, and the tests that should notice."""

    module: str
    mutation: Mutation
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed, survived or timeout."""

    mutant: Mutant
    outcome: str
    seconds: float


def draw_sample(seed: int, count: int, only: str = "") -> list[Mutant]:
    """Draw that many mutants at random from all modules of the table, in random order.

    Args:
        seed: the same seed draws the same sample of the same source.
        count: how many; all there are, if there are fewer.
        only: a part of the path of the modules to draw from.

    Returns:
        The mutants, in the order in which to try them: a run that is stopped has tried a fair sample.
    """
    every = [
        Mutant(str(path.relative_to(_TOP / "src")), mutation, tests)
        for place, tests in TESTS.items()
        for path in _modules(place)
        if only in str(path)
        for mutation in find_mutations(path.read_text())
    ]
    return random.Random(seed).sample(every, min(count, len(every)))


def _modules(place: str) -> Iterator[Path]:
    path = _TOP / "src" / place
    yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


@dataclass(frozen=True, slots=True)
class Copy:
    """A private copy of the source, whose tests run on it in place of the project's own."""

    directory: Path

    def judge(self, mutant: Mutant) -> Verdict:
        """Make the change, run the tests, and undo the change."""
        file = self.directory / "src" / mutant.module
        source = file.read_text()
        began = time.monotonic()
        file.write_text(apply(source, mutant.mutation))
        try:
            outcome = "survived" if self.passes(mutant.tests) else "killed"
        except subprocess.TimeoutExpired:
            outcome = "timeout"
        finally:
            file.write_text(source)
        return Verdict(mutant, outcome, time.monotonic() - began)

    def passes(self, tests: Sequence[str]) -> bool:
        """Whether the tests pass.

        Raises: TimeoutExpired where they take too long.
        """
        command = [sys.executable, "-m", "pytest", "-x", "-q", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self.directory / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        try:
            with subprocess.Popen(
                [*command, f"--basetemp={temporary / 'pytest'}"],
                cwd=self.directory,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as process:
                try:
                    return process.wait(_TIMEOUT_S) == 0
                finally:
                    _end(process)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a session of processes: a mutant may have left servers behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def make_copy(directory: Path) -> Copy:
    """Copy what the tests need; what was downloaded for them is linked."""
    for name in ("src", "tests", "bench", "docs", "packaging", "requirements"):
        shutil.copytree(_TOP / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile"):
        shutil.copy(_TOP / name, directory / name)
    for name in (".cache", ".venv"):
        if (_TOP / name).exists():
            (directory / name).symlink_to((_TOP / name).resolve())
    return Copy(directory)


def judge_all(mutants: Sequence[Mutant], workers: int, minutes: float) -> Iterator[Verdict]:
    """Judge mutants side by side until all are done or time is up.

    Raises: ClickException where the tests fail on the source as it is, since they would kill any mutant.
    """
    until = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory(prefix="packrat-mutants-", ignore_cleanup_errors=True) as top:
        free: SimpleQueue[Copy] = SimpleQueue()
        for number in range(workers):
            free.put(make_copy(Path(top) / str(number)))

        def check(tests: tuple[str, ...]) -> str:
            copy = free.get()
            try:
                return "" if copy.passes(tests) else " ".join(tests)
            finally:
                free.put(copy)

        def work(mutant: Mutant) -> Verdict | None:
            if time.monotonic() > until:
                return None
            copy = free.get()
            try:
                return copy.judge(mutant)
            finally:
                free.put(copy)

        with ThreadPoolExecutor(workers) as pool:
            if failing := [tests for tests in pool.map(check, sorted({mutant.tests for mutant in mutants})) if tests]:
                raise click.ClickException(f"these tests fail without any mutation: {', '.join(failing)}")
            yield from (verdict for verdict in pool.map(work, mutants) if verdict is not None)


@click.command()
@click.option("--count", default=_COUNT, show_default=True, help="Size of the sample.")
@click.option("--seed", default=_SEED, show_default=True, help="Another seed draws another sample.")
@click.option("--only", default="", help="Only modules with this in their path.")
@click.option("--workers", default=2, show_default=True)
@click.option("--minutes", default=240.0, show_default=True, help="Stop after so long; the order is random.")
def mutants(count: int, seed: int, only: str, workers: int, minutes: float) -> None:
    """Count how many of a fixed sample of mutations the tests notice."""
    sample = draw_sample(seed, count, only)
    verdicts = []
    for verdict in judge_all(sample, workers, minutes):
        verdicts.append(verdict)
        if verdict.outcome == "survived":
            click.echo(_line(verdict))
        elif len(verdicts) % 10 == 0:
            click.echo(f"{len(verdicts)} of {len(sample)}", err=True)
    path = _save(seed, verdicts)
    counts = Counter(verdict.outcome for verdict in verdicts)
    share = (counts["killed"] + counts["timeout"]) / max(1, len(verdicts))
    click.echo(
        f"{len(verdicts)} of {len(sample)} tried with seed {seed}: {share:.0%} noticed ({counts['killed']} killed, "
        f"{counts['timeout']} ran too long), {counts['survived']} survived; see {path}"
    )


def _line(verdict: Verdict) -> str:
    mutation = verdict.mutant.mutation
    return f"survived: {verdict.mutant.module}:{mutation.line} {mutation.function}: {mutation.what}"


def _save(seed: int, verdicts: Sequence[Verdict]) -> Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"mutants-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    document = {"seed": seed, "verdicts": [asdict(verdict) for verdict in verdicts]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


if __name__ == "__main__":
    mutants()
