"""Names the files beside a state database by which agents keep each other out, and tell who holds it."""

from pathlib import Path

from packrat_agent.state.steady_clock import read_boot_id

_PROCESSES = Path("/proc/self/ns/pid")


def lock_file(state_db: Path) -> Path:
    """Name the file that the agent at work locks."""
    return state_db.with_name(f"{state_db.name}.lock")


def holder_file(lock: Path) -> Path:
    """Name the file that says which process holds a lock."""
    return lock.with_name(f"{lock.name}.holder")


def process_table() -> str:
    """Identify the table of processes that this one can see, in which a process id means one process; '' if not known.

    The name of a host may change while an agent runs, and containers on one host may have the same.
    """
    boot = read_boot_id()
    try:
        return f"{boot} {_PROCESSES.readlink()}" if boot else ""
    except OSError:
        return ""
