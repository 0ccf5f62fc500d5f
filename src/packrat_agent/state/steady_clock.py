"""A clock for periods that a wrong time of day must neither end early nor stretch.

1. While the machine runs, it counts the seconds since its start, whatever is done to the time of day.
2. After a restart of the machine, the time of day says how long it was off; it never counts backwards.

Only differences of its values mean anything. It is kept in the state database, and goes on from there.
"""

import time
from collections.abc import Callable
from pathlib import Path

from packrat_agent.state.fact_table import Facts
from packrat_agent.state.facts import SteadyTime

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_clocks() -> SteadyTime:
    """Read which run of the machine this is, for how long it has run, and the time of day; seconds."""
    return SteadyTime(None, read_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def read_boot_id() -> str:
    """Read which run of the machine this is; '' if not known."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SteadyClock:
    """The clock; seconds."""

    def __init__(self, facts: Facts, read: Callable[[], SteadyTime] = read_clocks) -> None:
        self._facts = facts
        self._read = read

    def now(self) -> float:
        """Return the time.

        Raises:
            DiskError: The state database can't be written.
        """
        known, read = self._facts.read(SteadyTime), self._read()
        at = 0.0
        if known is not None and known.at is not None:
            same_run = read.boot and read.boot == known.boot
            before, after = (known.running, read.running) if same_run else (known.wall, read.wall)
            at = known.at + max(0.0, (after or 0.0) - (before or 0.0))
        self._facts.write(SteadyTime(at, read.boot, read.running, read.wall))
        return at
