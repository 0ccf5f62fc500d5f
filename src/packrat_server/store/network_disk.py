"""Tells whether a file or directory is on a disk of another machine, such as NFS.

A file that is in this machine's memory is read from a local disk in no time. On a network disk, the system asks the
other machine whenever a file is opened, and waits as long as that is away.
"""

from pathlib import Path

from packrat_core.fs.mounts import find_filesystem

_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "smb3", "virtiofs"}
)


def is_on_network(path: Path) -> bool:
    """Tell whether a file or directory is on a network disk; False where the system does not say."""
    return is_network(find_filesystem(path))


def is_network(filesystem: str) -> bool:
    """Tell whether a type of filesystem waits for another machine, or for a program, as those of FUSE do."""
    return filesystem.partition(".")[0] in _NETWORK
