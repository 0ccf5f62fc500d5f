"""A network disk whose other machine stops answering: a filesystem of FUSE. Only root can mount one.

It has any file that is asked for, and lists none.

Source: the kernel's `include/uapi/linux/fuse.h`, as of its version 7.22.
"""

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread, Timer, local

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _INIT, _OPENDIR = 1, 2, 3, 14, 15, 17, 26, 27
_READDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 28, 29, 36, 42
_UNANSWERED = frozenset({_FORGET, _INTERRUPT, _BATCH_FORGET})
"""The kernel waits for no answer to these."""
_DIRECTORY, _FILE = 2, 3
_FILE_BYTES = 9
_HANGS_S = 120.0
"""A process that is killed while it waits for a disk of its own would never end."""
_OF_THREAD = local()
"""Whether this thread has the only disk."""


def _attributes(node: int) -> bytes:
    size, mode = (_FILE_BYTES, 0o100644) if node == _FILE else (0, 0o40755)
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


_ANSWERS = {
    _STATFS: struct.pack("<5Q10I", 9, 9, 9, 9, 9, 4096, 255, 4096, *bytes(7)),
    _INIT: struct.pack("<4I2HI", 7, 22, 65536, 0, 0, 0, 65536),
    _OPENDIR: bytes(16),
    _READDIR: b"",
    _RELEASEDIR: b"",
}


@dataclass(slots=True)
class HungDisk:
    """The other machine; while it hangs, nobody can open a file."""

    _device: int
    hangs: bool = False
    is_silent: bool = False
    """Whether nothing at all is answered while it hangs, as by an NFS server that is gone."""
    refusal: int = errno.ENOENT
    """What opening a file gives while it doesn't hang; 0 for a file that opens, and can't be read."""
    asked: Event = field(default_factory=Event)
    """Is set once somebody waits."""
    _waiting: list[int] = field(default_factory=list)

    def recover(self) -> None:
        """Answer those who wait: the file is not there any more."""
        self.hangs = False
        while self._waiting:
            self._answer(self._waiting.pop(), errno.ENOENT)

    def serve(self) -> None:
        """Answer the kernel until the disk is unmounted."""
        while True:
            try:
                request = os.read(self._device, 256 * 1024)
            except OSError:
                return
            _, operation, number, node = struct.unpack_from("<IIQQ", request)
            if self.hangs and (operation == _OPEN or (self.is_silent and operation not in _UNANSWERED)):
                self._waiting.append(number)
                self.asked.set()
            elif operation == _LOOKUP:
                # The files are in directories with names of two letters.
                found = _DIRECTORY if len(request[40:]) == len(b"ab\0") else _FILE
                self._answer(number, 0, struct.pack("<4Q2I", found, 0, 0, 0, 0, 0) + _attributes(found))
            elif operation == _GETATTR:
                self._answer(number, 0, struct.pack("<QII", 0, 0, 0) + _attributes(node))
            elif operation in _ANSWERS:
                self._answer(number, 0, _ANSWERS[operation])
            elif operation == _OPEN:
                self._answer(number, self.refusal, b"" if self.refusal else bytes(16))
            elif operation not in _UNANSWERED:
                self._answer(number, errno.EIO if operation == _READ else errno.ENOSYS)

    def _answer(self, number: int, error: int, content: bytes = b"") -> None:
        os.write(self._device, struct.pack("<IiQ", 16 + len(content), -error, number) + content)


@contextmanager
def the_only_one() -> Iterator[None]:
    """Wait until no other test on this machine has such a disk: whoever looks at all disks finds it."""
    assert not getattr(_OF_THREAD, "has_it", False), "this test has it already, and would wait for itself for ever"
    # The directory itself, not a file in it: other users may have made that, and no other could open it.
    lock = os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _OF_THREAD.has_it = True
        yield
    finally:
        _OF_THREAD.has_it = False
        os.close(lock)


@contextmanager
def hung_disk(directory: Path) -> Iterator[HungDisk]:
    """Mount one, once no other is there; it answers until `hangs` is set, and again after two minutes."""
    with the_only_one(), _mounted(directory) as disk:
        yield disk


@contextmanager
def _mounted(directory: Path) -> Iterator[HungDisk]:
    device = os.open("/dev/fuse", os.O_RDWR)
    disk = HungDisk(device)
    # As daemons: if the disk can't be unmounted, the test fails, and its process still ends.
    answering, recovery = Thread(target=disk.serve, daemon=True), Timer(_HANGS_S, disk.recover)
    recovery.daemon = True
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    try:
        mount = ["mount", "-i", "-t", "fuse", "-o", options, "test", str(directory)]
        subprocess.run(mount, check=True, pass_fds=[device])
        answering.start()
        recovery.start()
        try:
            yield disk
        finally:
            recovery.cancel()
            disk.recover()
            # Those who waited may not have ended yet.
            subprocess.run(["umount", "--lazy", directory], check=True)
            answering.join()
    finally:
        os.close(device)
