"""Tells whether a filesystem is full, for programs whose errors don't say so; keeps room on one."""

import errno
import os
from pathlib import Path

_ROOM_BYTES = 64 * 1024
_KEPT_BYTES = 16 * 1024 * 1024
_KEPT_SHARE = 8
"""On a small filesystem, one part in this many is kept free."""


def is_full(directory: Path) -> bool:
    """Tell whether a filesystem has next to no room for a file; False where that can't be seen."""
    try:
        room = os.statvfs(directory)
    except OSError:
        return False
    # Some filesystems have no fixed number of inodes, and say 0 of 0; a tmpfs without a limit says so of all.
    has_no_room = room.f_blocks > 0 and room.f_bavail * room.f_frsize < _ROOM_BYTES
    return has_no_room or (room.f_files > 0 and room.f_favail == 0)


def keep_room(directory: Path) -> None:
    """Refuse as a full filesystem does, where downloads would take the last room from the state database and indexes.

    Raises:
        OSError: There is no more room for downloads.
    """
    room = os.statvfs(directory)
    if room.f_bavail < min(_KEPT_BYTES // (room.f_frsize or 1), room.f_blocks // _KEPT_SHARE):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
