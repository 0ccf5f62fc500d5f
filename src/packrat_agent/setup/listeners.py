"""Finds out which program listens on a port of this machine.

Source: proc(5), /proc/net/tcp and /proc/pid/fd.
"""

from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"


def find_listener(port: int) -> str | None:
    """Name the program that listens on a TCP port; '' if it is another user's and can't be seen, None if none does."""
    inodes = set(_listening(port))
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _PROC.glob("[0-9]*"):
        try:
            if any(str(descriptor.readlink()) in wanted for descriptor in (process / "fd").iterdir()):
                return (process / "comm").read_text().strip()
        except OSError:
            # It has ended, or belongs to another user.
            continue
    return ""


def _listening(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
