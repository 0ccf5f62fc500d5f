"""Tells the faults of a tree from changes that its agent made during the audit.

A publication replaces pointers one after another. A reader that gets one of them before it and another after it finds
that they don't match, and by the time this is reported, nothing is wrong. So in a tree that an agent works on, a fault
counts once it is found a second time, at a file that was not replaced in between.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from stat import S_ISDIR

from packrat_agent.verify.findings import Audit, Warned
from packrat_agent.verify.interrupted import find_interrupted

_LOOKS = 6
_PAUSE_S = 0.2
"""Longer than a publication replaces pointers."""
_RESTLESS = "was replaced each time that it was looked at; verify again"

_Identity = tuple[int, int, int] | None
"""Inode, time of change and size of a file; None where there is none."""


def settle(top: Path, audit: Audit, look_again: Callable[[], Audit]) -> Audit:
    """Look again until each fault was found twice at the same file.

    Args:
        top: Top of the tree.
        audit: What the first look found.
        look_again: Looks again; the files that were right are not read again.

    Returns:
        What the last look found. A fault of a file that never stood still is a warning.
    """
    is_settled: Mapping[str, bool] = {}
    before = _identify(top, audit)
    for left in reversed(range(_LOOKS)):
        time.sleep(_PAUSE_S)
        audit = look_again()
        now = _identify(top, audit)
        is_settled = {path: path in before and before[path] == identity for path, identity in now.items()}
        # Pointers that stand ready are about to replace what was found; the last look counts though they stay for good.
        if all(is_settled.values()) and (not left or not any(find_interrupted(top))):
            break
        before = now
    restless = tuple(Warned(path, _RESTLESS) for path, is_still in is_settled.items() if not is_still)
    faults = tuple(fault for fault in audit.faults if is_settled[fault.path])
    return replace(audit, faults=faults, warnings=(*audit.warnings, *restless))


def _identify(top: Path, audit: Audit) -> dict[str, _Identity]:
    """Return, for each path with a fault, what tells its file from one that replaces it."""
    return {fault.path: _look_up(top / fault.path) for fault in audit.faults}


def _look_up(path: Path) -> _Identity:
    try:
        status = path.lstat()
    except (OSError, ValueError):
        # Names come from untrusted indexes, so they may be no names at all.
        return None
    # What comes and goes in a directory changes its time.
    return (status.st_ino, 0, 0) if S_ISDIR(status.st_mode) else (status.st_ino, status.st_mtime_ns, status.st_size)
