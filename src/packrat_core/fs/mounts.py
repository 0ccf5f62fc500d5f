r"""Finds what is mounted below a directory, even from the same filesystem as by `mount --bind`, and what a file is on.

Source: proc_pid_mountinfo(5): the third field is the device, the fifth the mount point, with escapes such as \040 for
the characters that separate fields, and the type follows a lone dash; proc_pid_fdinfo(5) has the number of the mount.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_POINT = 4
_MOUNT_ID = re.compile(rb"^mnt_id:\s*([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted filesystem: its number, where it is, of which type, and what it comes from, as `host:/export`."""

    number: str
    point: str
    kind: str
    source: str


def list_mounts() -> Iterator[Mount]:
    """List all that is mounted; nothing where the system does not tell."""
    try:
        lines = _MOUNTS.read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        place, _, filesystem = line.partition(b" - ")
        fields, of = place.split(b" "), filesystem.split(b" ")
        if len(fields) > _POINT and len(of) > 1:
            yield Mount(*(os.fsdecode(_unescape(text)) for text in (fields[0], fields[_POINT], *of[:2])))


def mounts_below(root: Path) -> frozenset[str]:
    """Give the paths, relative to `root`, of all mount points below it; none where the system does not tell."""
    top = os.fsencode(os.path.join(os.path.realpath(root), ""))
    try:
        # A carriage return in a path is not escaped, so `splitlines` would cut the line there.
        lines = _MOUNTS.read_bytes().split(b"\n")
    except OSError:
        return frozenset()
    points = (_unescape(fields[_POINT]) for line in lines if len(fields := line.split(b" ")) > _POINT)
    return frozenset(os.fsdecode(point.removeprefix(top)) for point in points if point.startswith(top) and point != top)


def is_mount_point(descriptor: int) -> bool:
    """Tell of an open directory whether something else is mounted there than what it lies in.

    Raises:
        OSError: It can't be looked at.
    """
    # From the top of what is mounted, this leads out of it.
    above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
    try:
        return _mount_of(descriptor) != _mount_of(above)
    finally:
        os.close(above)


def kernel_device(descriptor: int) -> str | None:
    """Give the device of an open file's filesystem as /proc/locks writes it; None where the system does not tell.

    What stat(2) says is another one on btrfs, which has one for each subvolume.
    """
    line = _line_of(descriptor)
    if line is None:
        return None
    major, minor = line.split(b" ")[2].split(b":")
    return f"{int(major):02x}:{int(minor):02x}"


def find_filesystem(path: Path) -> str:
    """Find the type of filesystem that a file or directory is on, such as `ext4`; '' where the system does not tell."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        line = _line_of(descriptor) or b""
    finally:
        os.close(descriptor)
    return os.fsdecode(line.partition(b" - ")[2].partition(b" ")[0])


def _line_of(descriptor: int) -> bytes | None:
    """Find the line of mountinfo that tells of the filesystem of an open file."""
    mount = _mount_of(descriptor)[1]
    try:
        lines = _MOUNTS.read_bytes().split(b"\n")
    except OSError:
        return None
    return next((line for line in lines if mount and line.partition(b" ")[0] == mount), None)


def _mount_of(descriptor: int) -> tuple[int, bytes]:
    """Return an id that tells mounts apart; without /proc, those of the same filesystem are taken for one."""
    device = os.fstat(descriptor).st_dev
    try:
        found = _MOUNT_ID.search(Path(f"/proc/self/fdinfo/{descriptor}").read_bytes())
    except OSError:
        found = None
    return device, found[1] if found is not None else b""


def _unescape(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8) & 255]), field)
