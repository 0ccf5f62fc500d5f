"""Names the files beside a state database by which agents keep each other out, and tell who holds it."""

from pathlib import Path


def lock_file(state_db: Path) -> Path:
    """Name the file that the agent at work locks."""
    return state_db.with_name(f"{state_db.name}.lock")


def holder_file(lock: Path) -> Path:
    """Name the file that says which process holds a lock."""
    return lock.with_name(f"{lock.name}.holder")
