"""Finds the process that holds a state database, by its holder file and /proc, without touching the lock."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.state.lock_files import lock_file, process_table, read_holder

_LOCK = re.compile(r"^\d+: (?:FLOCK|POSIX) +\S+ +WRITE +(\d+) [0-9a-f:]+:(\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lock; `here`: it is on this host, and alive."""

    pid: int
    host: str
    here: bool


def find_holder(state_db: Path) -> Holder | None:
    """Read who holds the state database; a process that ended without cleaning up does not count.

    Raises:
        PermissionError: The directory is closed to this user.
    """
    # Taking the lock to try it would make an agent that starts in this moment give up.
    lock = lock_file(state_db)
    try:
        named = read_holder(lock)
    except PermissionError:
        raise
    except OSError:
        return None
    if named is None:
        return None
    # The host may have got another name since the agent started. This is what socket.gethostname gives, without the
    # import of that module, which no other part of `check` needs.
    if named.host != os.uname().nodename and named.processes != (process_table() or None):
        return Holder(named.pid, named.host, here=False)
    return Holder(named.pid, named.host, here=True) if _holds(named.pid, lock) else None


def _holds(pid: int, lock: Path) -> bool:
    try:
        held = {(int(match[1]), int(match[2])) for match in _LOCK.finditer(Path("/proc/locks").read_text("ascii"))}
        return (pid, lock.stat().st_ino) in held
    except (OSError, ValueError):
        return _alive(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
