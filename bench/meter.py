"""Measures commands: how long they take, how much memory they need at most."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_LAUNCH = Path(__file__).with_name("launch.py")
TIMEOUT_S = 1800
"""No single command may take longer."""


class BenchError(Exception):
    """The measurement can't go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, and the most memory that any process held (KiB)."""

    seconds: float
    peak_kib: int


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run; `stdout` is a file for what it prints, by default nowhere."""

    line: Sequence[str | Path]
    environment: Mapping[str, str]
    stdout: Path | None = None


def measure(commands: Iterable[Command]) -> Measured:
    """Run the commands one after the other: their times added up, the largest of their peaks.

    What an iterator does between two commands is not measured.

    Raises: BenchError where one of them fails.
    """
    parts = [_measure_one(command) for command in commands]
    return Measured(sum(part.seconds for part in parts), max(part.peak_kib for part in parts))


def _measure_one(command: Command) -> Measured:
    line = [str(part) for part in command.line]
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(TIMEOUT_S), str(command.stdout or "-")]
    # What earlier work left to be written would be paid for by this one's fsync.
    os.sync()
    done = subprocess.run([*launcher, *line], env=command.environment, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout) if done.returncode == 0 else {"code": done.returncode}
    if told["code"] != 0:
        raise BenchError(f"`{' '.join(line)[:300]}` ended with {told['code']}: {done.stderr.strip()[-1500:]}")
    return Measured(told["seconds"], told["peak_kib"])


def summarize(rounds: Sequence[Measured]) -> Measured:
    """The median time and the largest peak of several rounds."""
    return Measured(median(measured.seconds for measured in rounds), max(measured.peak_kib for measured in rounds))


def reset_peak(pid: int) -> None:
    """Let a running process's peak memory begin at what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def read_peak_kib(pid: int) -> int:
    """The most memory that a running process has held since the last reset."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise BenchError(f"/proc/{pid}/status has no VmHWM")
