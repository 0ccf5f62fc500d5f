"""Finds the processes of earlier calls that still look at a disk which hangs, so that few of them pile up.

A process that waits in the kernel for a disk ends when the disk answers, also if it was killed; a monitoring system
starts another one every minute. So each names itself, as `ps -o pid,comm` shows:

    packrat-1a2b3c4   looks at what a path leads to, of which this is the checksum
    packrat/123       asks the mounted filesystem of this number, the first field in /proc/self/mountinfo

Source: proc_pid_comm(5), proc_pid_stat(5), proc_pid_status(5).
"""

import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")
_MOUNTS = "ns/mnt"
_NAME_BYTES = 15
_ASKS = "packrat/"
_NAME = re.compile(rb"packrat(?:-[0-9a-f]{7}|/[0-9]+)\n")
_USER = re.compile(rb"^Uid:\t(\d+)", re.MULTILINE)
_PARENT = re.compile(rb"^PPid:\t(\d+)", re.MULTILINE)
_PENDING = re.compile(rb"^(?:SigPnd|ShdPnd):\t([0-9a-f]+)", re.MULTILINE)
_WAITING = re.compile(rb"^State:\t[SD]", re.MULTILINE)
"""One that is about to end, or only wants for a processor, runs."""
_SIGKILL_BIT = 1 << 8
_STARTED = 19
"""Which field of `stat` says when a process was started, counted from the one behind its name."""
_SHORTEST_PAUSE_S = 60.0
_DOUBLED_AT_MOST = 5
"""To half an hour: that makes few processes a day, and is for how long a disk that was replaced may still be blamed."""


@dataclass(frozen=True, slots=True)
class LeftLook:
    """A process that was left to itself: its number, and for how many seconds it has been there."""

    pid: int
    age_s: float


def look_name(path: Path) -> str:
    """Choose the name of a process that looks at what a path leads to."""
    # Mirrors in several directories may each have a `mirror.conf`. A directory that is gone has no path.
    with suppress(FileNotFoundError):
        path = path.absolute()
    return f"packrat-{zlib.crc32(os.fsencode(path)) & 0xFFFFFFF:07x}"


def mount_name(number: str) -> str:
    """Choose the name of a process that asks the mounted filesystem of a number."""
    return f"{_ASKS}{number}"


def take_name(name: str) -> None:
    """Name this process, where the system lets it; a longer name than the system keeps is none."""
    if len(name) <= _NAME_BYTES:
        with suppress(OSError):
            Path("/proc/self/comm").write_text(name)


def find_left() -> Mapping[str, list[LeftLook]]:
    """Find those of this user that nobody waits for any more, by name; none where the system does not tell.

    Those of a container are left out: the same path, there, leads elsewhere.
    """
    found: dict[str, list[LeftLook]] = {}
    for pid in _list_numbers():
        # Any of them may end meanwhile.
        with suppress(OSError, ValueError, IndexError):
            name = (_PROCESSES / str(pid) / "comm").read_bytes()
            if _NAME.fullmatch(name) and _is_left(pid):
                found.setdefault(os.fsdecode(name[:-1]), []).append(LeftLook(pid, _age_s(pid)))
    return found


def is_waiting(pid: int) -> bool:
    """Tell whether a process waits in the kernel for something, such as a disk, and not for a processor."""
    try:
        return _WAITING.search((_PROCESSES / str(pid) / "status").read_bytes()) is not None
    except OSError:
        return False


def has_asked(left: Mapping[str, Sequence[LeftLook]]) -> bool:
    """Tell whether some of these processes ask a filesystem, which may have been unmounted since."""
    return any(name.startswith(_ASKS) for name in left)


def is_too_soon(left: Sequence[LeftLook]) -> bool:
    """Tell whether another process should not follow those that were left; each pause is longer than the last.

    They tell nothing for sure: another disk may have been put in the place of the one that they wait for.
    """
    pause_s = _SHORTEST_PAUSE_S * 2 ** min(len(left), _DOUBLED_AT_MOST)
    return bool(left) and min(look.age_s for look in left) < pause_s


def _list_numbers() -> Iterator[int]:
    with suppress(OSError):
        yield from (int(name) for name in os.listdir(_PROCESSES) if name.isdecimal())


def _is_left(pid: int) -> bool:
    """Tell whether a process is this user's, sees the same mounts, and was killed or has lost what it is a copy of.

    Raises:
        OSError: It has ended.
        IndexError: The system tells less than usual.
    """
    status = (_PROCESSES / str(pid) / "status").read_bytes()
    if int(_USER.findall(status)[0]) != os.getuid() or not _WAITING.search(status):
        return False
    if (_PROCESSES / str(pid) / _MOUNTS).readlink() != (_PROCESSES / "self" / _MOUNTS).readlink():
        return False
    if any(int(mask, 16) & _SIGKILL_BIT for mask in _PENDING.findall(status)):
        return True
    own = (_PROCESSES / str(pid) / "cmdline").read_bytes()
    try:
        return (_PROCESSES / os.fsdecode(_PARENT.findall(status)[0]) / "cmdline").read_bytes() != own
    except OSError:
        # It is gone, or another user's, which may be hidden.
        return True


def _age_s(pid: int) -> float:
    """Say for how long a process has been there.

    Raises:
        OSError: It has ended.
        IndexError: The system tells less than usual.
    """
    fields = (_PROCESSES / str(pid) / "stat").read_bytes().rpartition(b") ")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")
