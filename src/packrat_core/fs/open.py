"""Opens regular files only, whatever somebody has put at their path.

A link could lead out of the directory, and opening a named pipe could wait forever; both are refused.
"""

import errno
import os
import stat
from io import BufferedRandom, BufferedReader, FileIO
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read.

    Raises:
        OSError: It does not exist, can't be read, or is a link, a directory, a pipe or a device.
    """
    return os.fdopen(_open(path, os.O_RDONLY), "rb")


def open_unbuffered(path: str) -> FileIO:
    """Open a regular file to read it with few calls: each `read` is one of the operating system's.

    Raises:
        OSError: As `open_regular`.
    """
    return FileIO(_open(path, os.O_RDONLY), "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        OSError: As `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        # One byte more shows that the file is larger, also where it has grown since it was opened.
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))
    return content


def open_to_resume(path: Path) -> BufferedRandom:
    """Open a regular file to read and write, and make it where it does not exist.

    Raises:
        OSError: It can't be opened, or is not a regular file.
    """
    return os.fdopen(_open(path, os.O_RDWR | os.O_CREAT), "r+b")


def _open(path: str | Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except ValueError:
        # It holds a NUL, or a character that has no bytes in a file's name.
        raise OSError(errno.EINVAL, "can't be the name of a file", repr(str(path))) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return descriptor
