"""Reads what running processes have cost so far: processor time and bytes written, with all children they waited for.

Source: clock_getcpuclockid(3), proc_pid_stat(5), proc_pid_io(5).
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPU_CLOCK = 2


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time in seconds, and bytes that were given to the disk."""

    cpu_s: float
    written_bytes: int

    def since(self, before: "Costs") -> "Costs":
        """What was added since an earlier reading."""
        return Costs(self.cpu_s - before.cpu_s, self.written_bytes - before.written_bytes)


def read_costs(pid: int) -> Costs:
    """What a running process has cost; its children count once they are over, in steps of 10 ms.

    Raises: ProcessLookupError
    """
    try:
        # The number of a process's own clock is made from that of the process.
        own_s = time.clock_gettime((~pid << 3) | _CPU_CLOCK)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return Costs(own_s + (int(fields[13]) + int(fields[14])) / _TICKS_PER_S, read_written_bytes(pid))
    except OSError:
        raise ProcessLookupError(f"process {pid} is gone") from None


def read_written_bytes(pid: int) -> int:
    """Bytes that a process and the children that it waited for gave to the disk."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


class Daemons:
    """Processes that work for the program that is measured: name → process. gpg-agent, and the packrat server."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}

    def only(self, *names: str) -> "Daemons":
        """Those of these names."""
        chosen = Daemons()
        chosen.pids = {name: pid for name, pid in self.pids.items() if name in names}
        return chosen

    def read_cpu_s(self) -> Mapping[str, float]:
        """The processor time of each so far."""
        found: dict[str, float] = {}
        for name, pid in self.pids.items():
            with suppress(ProcessLookupError):
                found[name] = read_costs(pid).cpu_s
        return found

    def since(self, before: Mapping[str, float]) -> Mapping[str, float]:
        """The processor time of each since an earlier reading."""
        return {name: cpu_s - before.get(name, 0.0) for name, cpu_s in self.read_cpu_s().items()}
