r"""Finds what is mounted below a directory, even from the same filesystem, as with `mount --bind`.

Source: proc_pid_mountinfo(5): the fifth field is the mount point, with escapes such as \040 for the characters that
separate fields.
"""

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_POINT = 4


def mounts_below(root: Path) -> frozenset[str]:
    """Give the paths, relative to `root`, of all mount points below it; none where the system does not tell."""
    top = os.fsencode(os.path.join(os.path.realpath(root), ""))  # noqa: PTH118
    try:
        # A carriage return in a path is not escaped, so `splitlines` would cut the line there.
        lines = _MOUNTS.read_bytes().split(b"\n")
    except OSError:
        return frozenset()
    points = (_unescape(fields[_POINT]) for line in lines if len(fields := line.split(b" ")) > _POINT)
    return frozenset(os.fsdecode(point.removeprefix(top)) for point in points if point.startswith(top) and point != top)


def _unescape(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8) & 255]), field)
