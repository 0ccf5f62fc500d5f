"""Decides which files a scan reads; it compares the inode, size, mtime and ctime of every file each time.

- A small tree is read as a whole by each full sync: one that takes at most half of `full_sync_interval` to read at
  `scan_rate_limit`. A full sync ends no sooner than its scan, so a larger one would delay the next.
- A larger tree is read once in `scan_days`, by a slice in each full sync. A slice is as large as the time that has gone
  by asks for, and at most what can be read in half of `full_sync_interval`.
- A *round* reads the whole tree once. Its position is durable, so the next scan goes on where the last one ended or was
  interrupted.
- A file that looks different from when it was found right is read in any case.

    slice = plan_slice(settings, ScanRound(...), tree_bytes, now)
"""

import sys
from dataclasses import dataclass, replace

from packrat_agent.config.settings import MirrorSettings
from packrat_agent.publish.walk import order_of
from packrat_agent.state.facts import Fact, ScanRound

DEFAULT_DAYS = 7
"""How long a round of a large tree takes where `scan_days` doesn't say."""

_DAY_S = 86400
_SHARE_OF_INTERVAL = 0.5
_RESUME_WITHIN_S = _DAY_S
"""For this long after an interruption, a scan of everything is resumed; later, it starts over."""

NEW_ROUND = ScanRound(began=None, ended=None, position=None, bytes=None)


@dataclass(frozen=True, slots=True)
class UntrackedRest(Fact):
    """The first untracked file that one full sync left to the next, as there were too many; None: none."""

    NAME = "untracked_rest"
    first: str | None


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """What `mirror.conf` sets; `days` is None where it doesn't."""

    bytes_per_s: int
    days: int | None
    interval_s: float

    @property
    def at_once_bytes(self) -> int:
        """How much one full sync may read: also the size of the largest small tree."""
        return int(self.bytes_per_s * self.interval_s * _SHARE_OF_INTERVAL)

    def days_for(self, tree_bytes: int) -> int:
        """Return in how many days a tree of that size is read; 0: in each full sync."""
        if self.days is not None:
            return self.days
        return 0 if tree_bytes <= self.at_once_bytes else DEFAULT_DAYS


def read_limits(mirror: MirrorSettings) -> ScanLimits:
    """Take the limits of scans from the settings."""
    return ScanLimits(mirror.scan_bytes_per_s, mirror.scan_days, float(mirror.full_sync_interval_s))


class Slice:
    """The content that one scan reads, in the order of the walk, and how far it has come."""

    def __init__(self, scan_round: ScanRound, limit_bytes: int) -> None:
        self._round = scan_round
        self._left_bytes = limit_bytes
        self._after = order_of(scan_round.position) if scan_round.position is not None else []

    def takes(self, path: str) -> bool:
        """Decide whether the content of a file is read; files have to be asked for in the order of the walk."""
        return self._left_bytes > 0 and order_of(path) > self._after

    def note_read(self, path: str, size: int) -> None:
        """Count a file that was read."""
        self._left_bytes -= size
        self._round = replace(self._round, position=path, bytes=(self._round.bytes or 0) + size)

    @property
    def round(self) -> ScanRound:
        """The round, as far as it has come."""
        return self._round

    def end(self, now: float) -> ScanRound:
        """Return the round after a scan that came to the end of the walk."""
        return replace(NEW_ROUND, ended=now) if self._left_bytes > 0 else self._round


def whole_tree(now: float) -> Slice:
    """Read all content, whatever was read before."""
    return Slice(replace(NEW_ROUND, began=now), sys.maxsize)


def plan_slice(limits: ScanLimits, last: ScanRound, tree_bytes: int, now: float) -> Slice:
    """Decide what the next scan reads.

    Args:
        limits: What `mirror.conf` sets.
        last: The round as the last scan left it.
        tree_bytes: The size of all files.
        now: The moment, in epoch seconds.
    """
    days = limits.days_for(tree_bytes)
    began = last.began if last.began is not None and last.began <= now else None
    if days == 0:
        if began is None or now - began > _RESUME_WITHIN_S:
            return Slice(replace(NEW_ROUND, began=now, ended=last.ended), sys.maxsize)
        return Slice(last, sys.maxsize)
    if began is None:
        # The one before ended with the last scan, or there was none.
        began = min(now, max(now - limits.interval_s, last.ended or 0.0))
        last = replace(last, began=began, position=None, bytes=None)
    due_bytes = tree_bytes * min(1.0, (now - began) / (days * _DAY_S))
    if now - began >= days * _DAY_S:
        # The tree may have grown: the rest of it, whatever that is.
        due_bytes = sys.maxsize
    return Slice(last, min(int(due_bytes) - (last.bytes or 0), limits.at_once_bytes))
