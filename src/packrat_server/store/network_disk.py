"""Tells whether a directory is on a disk of another machine, such as NFS.

A file that is in this machine's memory is read from a local disk in no time. On a network disk, the system asks the
other machine whenever a file is opened, and waits as long as that is away.
"""

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "smb3", "virtiofs"}
)


def is_on_network(directory: Path) -> bool:
    """Tell whether a directory is on a network disk; False where the system does not say."""
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return False
    return is_network(find_kind(mounts, os.path.realpath(directory)))


def is_network(kind: str) -> bool:
    """Tell whether a filesystem of this kind waits for another machine, or for a program, as those of FUSE do."""
    return kind.partition(".")[0] in _NETWORK


def find_kind(mounts: str, path: str) -> str:
    """Find the kind of filesystem that a path is on; '' where that is not known.

    Source: proc(5), `/proc/pid/mountinfo`.

    Args:
        mounts: The content of `mountinfo`.
        path: The path, absolute and without links.
    """
    kind, longest = "", -1
    for line in mounts.splitlines():
        mount, _, filesystem = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not filesystem:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        # Of those on one directory, the last one is on top.
        if len(point) >= longest and (path == point or path.startswith(point.rstrip("/") + "/")):
            kind, longest = filesystem.partition(" ")[0], len(point)
    return kind
