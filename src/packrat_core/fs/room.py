"""Tells whether a filesystem is full, where a program that was started on it does not say so."""

import os
from pathlib import Path

_ROOM_BYTES = 64 * 1024


def is_full(directory: Path) -> bool:
    """Tell whether a filesystem has next to no room for a file; False where that can't be seen."""
    try:
        room = os.statvfs(directory)
    except OSError:
        return False
    # Some filesystems have no fixed number of inodes, and say 0 of 0.
    return room.f_bavail * room.f_frsize < _ROOM_BYTES or (room.f_files > 0 and room.f_favail == 0)
