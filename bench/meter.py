"""Measures commands: time, processor time of all that takes part, peak memory, bytes written."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.costs import Daemons

_LAUNCH = Path(__file__).with_name("launch.py")
TIMEOUT_S = 7200
"""No single command may take longer."""


class BenchError(Exception):
    """The measurement can't go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a work cost.

    cpu_s: of the processes that do it and of their children. daemons_s: name → processor time of what works for them
    beside: gpg-agent, the packrat server. peak_kib: the most memory that any process held. written_bytes: by the
    processes and their children.
    """

    seconds: float
    peak_kib: int
    cpu_s: float = 0.0
    daemons_s: Mapping[str, float] = field(default_factory=dict)
    written_bytes: int = 0

    @property
    def all_cpu_s(self) -> float:
        """The processor time of all that took part."""
        return self.cpu_s + sum(self.daemons_s.values())


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run; `stdout` is a file for what it prints, by default nowhere."""

    line: Sequence[str | Path]
    environment: Mapping[str, str]
    stdout: Path | None = None


def measure(commands: Iterable[Command], daemons: Daemons | None = None) -> Measured:
    """Run the commands one after the other: what they cost added up, the largest of their peaks.

    What an iterator does between two commands is not measured.

    Raises: BenchError where one of them fails.
    """
    watched = daemons or Daemons()
    parts: list[Measured] = []
    for command in commands:
        # What earlier work left to be written would be paid for by this one's fsync.
        os.sync()
        before = watched.read_cpu_s()
        part = _measure_one(command)
        parts.append(Measured(part.seconds, part.peak_kib, part.cpu_s, watched.since(before), part.written_bytes))
    return add_up(parts)


def add_up(parts: Sequence[Measured]) -> Measured:
    """One work of several parts."""
    names = {name for part in parts for name in part.daemons_s}
    return Measured(
        sum(part.seconds for part in parts),
        max(part.peak_kib for part in parts),
        sum(part.cpu_s for part in parts),
        {name: sum(part.daemons_s.get(name, 0.0) for part in parts) for name in sorted(names)},
        sum(part.written_bytes for part in parts),
    )


def _measure_one(command: Command) -> Measured:
    line = [str(part) for part in command.line]
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(TIMEOUT_S), str(command.stdout or "-")]
    done = subprocess.run([*launcher, *line], env=command.environment, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout) if done.returncode == 0 else {"code": done.returncode}
    if told["code"] != 0:
        raise BenchError(f"`{' '.join(line)[:300]}` ended with {told['code']}: {done.stderr.strip()[-1500:]}")
    return Measured(told["seconds"], told["peak_kib"], told["cpu_s"], {}, told["written_bytes"])


def summarize(rounds: Sequence[Measured]) -> Measured:
    """The medians of several rounds, and the largest peak.

    Processor times are means, since those of children are counted in steps of 10 ms.
    """
    count = len(rounds)
    whole = add_up(rounds)
    return Measured(
        median(measured.seconds for measured in rounds),
        whole.peak_kib,
        whole.cpu_s / count,
        {name: cpu_s / count for name, cpu_s in whole.daemons_s.items()},
        int(median(measured.written_bytes for measured in rounds)),
    )


def reset_peak(pid: int) -> None:
    """Let a running process's peak memory begin at what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def read_peak_kib(pid: int) -> int:
    """The most memory that a running process has held since the last reset."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise BenchError(f"/proc/{pid}/status has no VmHWM")
