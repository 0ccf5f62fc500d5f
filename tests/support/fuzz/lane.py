"""Starts fuzz workers, and finds out what ended one that did not say how it went."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.fuzz.engine import CURRENT, Case, Failure, keep

_TESTS = Path(__file__).parents[2]
KEPT = _TESTS / "hostile/fuzz/corpus"
"""Inputs that failed once, each in a directory with the name of its reader."""
_SET_UP_S = 800.0
_SLICE_SEED = 20_261


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a worker went: number of inputs, and a text for each failure."""

    cases: int
    failures: tuple[str, ...]


def run_worker(family: str, corpus: Path, *arguments: str, seconds: float = 0.0) -> Outcome:
    """Run a worker to its end.

    Args:
        family: What it fuzzes.
        corpus: Where inputs that fail are kept.
        arguments: More arguments for it.
        seconds: How long it fuzzes; 0 where something else ends it.
    """
    own = corpus / f"of-{os.getpid()}-{family}"
    command = [sys.executable, "-m", "support.fuzz.worker", family, "--corpus", str(own), *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{_TESTS}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + _SET_UP_S,
        check=False,
    )
    try:
        said = json.loads((done.stdout.splitlines() or [""])[-1])
        failures = [f"{failure['target']}: {failure['cause']}\n{failure['text']}" for failure in said["failures"]]
        cases = said["cases"]
    except ValueError:
        cases, failures = 0, [_find_end(own, done)]
    for kept in own.glob("*/*") if own.is_dir() else ():
        place = corpus / kept.parent.name / kept.name
        place.parent.mkdir(parents=True, exist_ok=True)
        kept.replace(place)
    shutil.rmtree(own, ignore_errors=True)
    return Outcome(cases, tuple(failures))


def _find_end(own: Path, done: "subprocess.CompletedProcess[str]") -> str:
    """Keep the input that ended the process, and tell how."""
    current = own / CURRENT
    end = f"the worker ended with {done.returncode}: {done.stderr[-3000:]}"
    if not current.exists():
        return end
    line, _, data = current.read_bytes().partition(b"\n")
    words = line.decode().split(" ")
    case = Case(words[0], int(words[3].rstrip(",")), int(words[5]))
    stack = (own / "stack").read_text(errors="replace")
    path = keep(own, Failure(case.target, data, "ends the process", f"{end}\n{stack}"), case)
    return f"{case}, kept as {case.target}/{path.name}: {end}\n{stack}"


def run_slice(family: str, corpus: Path, cases: int) -> None:
    """Have each reader of a family read what failed once, and so many inputs, always the same ones; none may fail."""
    outcome = run_worker(family, corpus, "--kept", str(KEPT), "--seed", str(_SLICE_SEED), "--cases", str(cases))
    assert not outcome.failures, "\n".join(outcome.failures)
    assert outcome.cases >= cases


def replay(files: Sequence[Path], corpus: Path) -> Outcome:
    """Read kept inputs again; the directory of each is the name of its reader."""
    by_target: dict[str, list[Path]] = {}
    for file in files:
        by_target.setdefault(file.absolute().parent.name, []).append(file.absolute())
    cases = 0
    failures: list[str] = []
    for target, paths in by_target.items():
        arguments = ["--only", target, *(word for path in paths for word in ("--replay", str(path)))]
        outcome = run_worker(target.partition(".")[0], corpus, *arguments)
        cases += outcome.cases
        failures += outcome.failures
    return Outcome(cases, tuple(failures))
