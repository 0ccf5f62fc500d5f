"""Tries mutants: makes the change in a private copy of the source, and runs the tests that should notice it.

A mutant gets several times the processor time that its tests take without any change: an endless loop is ended, and a
busy machine changes nothing. What waits for ever is ended after a time; since a busy machine may do that, too, it is
tried again at the end, alone.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import click

from bench.mutate import Mutation, apply

TOP = Path(__file__).parents[1]
_TIMES_AS_LONG = 4.0
_SPARE_S = 60.0
_WAIT_S = 1800.0
_MEMORY_BYTES = 8 << 30
"""A mutant that fills the memory must not take other programs with it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module, one mutation of it, and the tests that should notice; the same mutant with whatever tests."""

    module: str
    mutation: Mutation
    tests: tuple[str, ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed, survived, or timeout; and the test that noticed it, as pytest names it.

    While a run isn't over, there is also missed: the closest tests did not notice it, and the others were not asked.
    """

    mutant: Mutant
    outcome: str
    seconds: float
    noticed_by: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A private copy of the source, whose tests run on it in place of the project's own."""

    directory: Path

    def judge(self, mutant: Mutant, limit_cpu_s: float) -> Verdict:
        """Make the change, run the tests, and undo the change."""
        file = self.directory / "src" / mutant.module
        source = file.read_text()
        began = time.monotonic()
        _rewrite(file, apply(source, mutant.mutation))
        try:
            noticed_by = self.run(mutant.tests, limit_cpu_s)
            ran_out = noticed_by == _RAN_OUT or "Timeout (>" in noticed_by
            outcome = "survived" if not noticed_by else "timeout" if ran_out else "killed"
        except subprocess.TimeoutExpired:
            outcome, noticed_by = "timeout", ""
        finally:
            _rewrite(file, source)
        return Verdict(mutant, outcome, time.monotonic() - began, noticed_by)

    def run(self, tests: Sequence[str], limit_cpu_s: float) -> str:
        """Run the tests up to the first that fails, and name it; empty if none fails.

        Raises:
            TimeoutExpired: they wait for ever.
        """
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE", f"--basetemp={temporary / 'pytest'}"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(self.directory / "src"), "COLUMNS": "400"}
        try:
            with (
                (temporary / "told").open("w+") as told,
                subprocess.Popen(
                    [*command, *tests],
                    cwd=self.directory,
                    env=environment,
                    stdout=told,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                ) as process,
            ):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
                resource.prlimit(process.pid, resource.RLIMIT_CPU, (int(limit_cpu_s), int(limit_cpu_s) + 5))
                try:
                    code = process.wait(_WAIT_S)
                finally:
                    _end(process)
                told.seek(0)
                lines = [line.strip() for line in told if line.startswith(("FAILED ", "ERROR "))]
                return "" if code == 0 else lines[-1] if lines else f"exit code {code}"
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


_RAN_OUT = f"exit code {-signal.SIGXCPU}"
_moments = count(1)


def _rewrite(file: Path, source: str) -> None:
    """Write a module with a date that it never had, since Python tells by date and size whether bytecode is current."""
    file.write_text(source)
    moment_s = next(_moments)
    os.utime(file, (moment_s, moment_s))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a session of processes: a mutant may have left servers behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def _make_copy(directory: Path) -> Copy:
    """Copy what the tests need; what was downloaded for them is linked."""
    for name in ("src", "tests", "bench", "docs", "packaging", "requirements"):
        shutil.copytree(TOP / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile"):
        shutil.copy(TOP / name, directory / name)
    for name in (".cache", ".venv"):
        if (TOP / name).exists():
            (directory / name).symlink_to((TOP / name).resolve())
    return Copy(directory)


class Trials:
    """Copies of the source in which mutants are tried side by side."""

    def __init__(self, copies: Sequence[Copy], minutes: float) -> None:
        self._copies = copies
        self._until = time.monotonic() + minutes * 60
        self._takes_cpu_s: dict[str, float] = {}

    def judge(self, mutants: Sequence[Mutant]) -> Iterator[Verdict]:
        """Judge mutants until all are done or time is up.

        Yields:
            A verdict on each; last come those on mutants that took too long beside others.

        Raises:
            ClickException: a test fails on the source as it is, and so would notice any mutant.
        """
        for name in sorted({name for mutant in mutants for name in mutant.tests} - self._takes_cpu_s.keys()):
            self._takes_cpu_s[name] = self._time(name)
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in self._copies:
            free.put(copy)

        def work(mutant: Mutant) -> Verdict | None:
            if time.monotonic() > self._until:
                return None
            copy = free.get()
            try:
                return copy.judge(mutant, self._limit_cpu_s(mutant))
            finally:
                free.put(copy)

        too_long = []
        with ThreadPoolExecutor(len(self._copies)) as pool:
            for verdict in pool.map(work, mutants):
                if verdict is not None and verdict.outcome == "timeout" and verdict.noticed_by != _RAN_OUT:
                    too_long.append(verdict.mutant)
                elif verdict is not None:
                    yield verdict
        for mutant in too_long:
            yield self._copies[0].judge(mutant, self._limit_cpu_s(mutant))

    def _time(self, name: str) -> float:
        """Return how many seconds of processor time a file of tests takes without any mutation."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        if failed := self._copies[0].run([name], 3600.0):
            raise click.ClickException(f"a test fails without any mutation: {failed}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _limit_cpu_s(self, mutant: Mutant) -> float:
        return _SPARE_S + _TIMES_AS_LONG * sum(self._takes_cpu_s[name] for name in mutant.tests)


@contextmanager
def open_trials(workers: int, minutes: float) -> Iterator[Trials]:
    """Make the copies, and remove them at the end."""
    with tempfile.TemporaryDirectory(prefix="packrat-mutants-", ignore_cleanup_errors=True) as top:
        # Some tests go on as another user, who needs to read the source.
        Path(top).chmod(0o755)
        yield Trials([_make_copy(Path(top) / str(number)) for number in range(workers)], minutes)
