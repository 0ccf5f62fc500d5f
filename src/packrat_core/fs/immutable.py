"""Tells whether a file or directory has an attribute that keeps even its owner, and root, from changing it.

Source: chattr(1); ioctl_iflags(2).
"""

import fcntl
import os
import stat
import struct
from pathlib import Path
from shlex import quote

_GET_FLAGS = 0x80086601
_FLAGS = struct.Struct("L")
_ATTRIBUTES = {"i": (0x10, "immutable"), "a": (0x20, "append-only")}


def explain_immutable(*paths: Path) -> str | None:
    """Say which of these has such an attribute, and how to take it off; None where none has, or that can't be seen."""
    for path in paths:
        try:
            flags = _flags(path)
        except OSError:
            continue
        for letter, (flag, name) in _ATTRIBUTES.items():
            if flags & flag:
                return f"{path} has the attribute {name}; as root: `chattr -{letter} {quote(str(path))}`"
    return None


def _flags(path: Path) -> int:
    """Read the attributes.

    Raises: OSError
    """
    # Opening a device may do something.
    if stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        return 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found: int = _FLAGS.unpack(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(_FLAGS.size)))[0]
    finally:
        os.close(descriptor)
    return found
