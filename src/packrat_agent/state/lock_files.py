"""Names the files beside a state database by which agents keep each other out, and tell who holds it."""

import json
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.state.steady_clock import read_boot_id
from packrat_core.fs.open import read_regular

_PROCESSES = Path("/proc/self/ns/pid")
_LONGEST_BYTES = 4096
_PID_LIMIT = 1 << 31


@dataclass(frozen=True, slots=True)
class NamedHolder:
    """The process that a holder file names; `processes` is '' where an earlier version wrote it."""

    pid: int
    host: str
    command: str
    processes: str


def lock_file(state_db: Path) -> Path:
    """Name the file that the agent at work locks."""
    return state_db.with_name(f"{state_db.name}.lock")


def holder_file(lock: Path) -> Path:
    """Name the file that says which process holds a lock."""
    return lock.with_name(f"{lock.name}.holder")


def read_holder(lock: Path) -> NamedHolder | None:
    """Read which process the file beside a lock names; None if it names none, as anybody may have written it.

    Raises:
        OSError: The file is not there, or can't be read.
    """
    try:
        match json.loads(read_regular(holder_file(lock), _LONGEST_BYTES)):
            case {"pid": int(pid), "host": str(host)} as holder if pid is not True and 0 < pid < _PID_LIMIT:
                command, processes = str(holder.get("command", "")), str(holder.get("processes", ""))
                return NamedHolder(pid, host[:100], command[:20], processes)
    except (ValueError, RecursionError):
        pass
    return None


def process_table() -> str:
    """Identify the table of processes that this one can see, in which a process id means one process; '' if not known.

    The name of a host may change while an agent runs, and containers on one host may have the same.
    """
    boot = read_boot_id()
    try:
        return f"{boot} {_PROCESSES.readlink()}" if boot else ""
    except OSError:
        return ""
