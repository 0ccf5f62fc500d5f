"""Opens regular files only, whatever somebody has put at their path.

A link could lead out of the directory, and opening a named pipe could wait forever; both are refused.
"""

import errno
import os
import stat
from contextlib import suppress
from io import BufferedRandom, BufferedReader, BufferedWriter, FileIO
from pathlib import Path

from packrat_core.fs.links import remove_any

_NO_REGULAR_FILE = (errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO)
"""What opening a pipe, a device, a directory, a link or a socket gives."""
_GROWN_BYTES = 64 * 1024


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
        # One byte more shows that the file is larger. Python takes memory for all bytes that it is asked for, so ask
        # for no more than there are; the loop takes what the file has grown by since.
        content = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
        while len(content) <= limit and (more := file.read(min(limit + 1 - len(content), _GROWN_BYTES))):
            content += more
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))
    return content


def open_to_resume(path: Path) -> BufferedRandom:
    """Open a regular file to read and write; it is made where it does not exist, and anew where it isn't ours alone.

    Raises:
        OSError: It can't be opened or made.
        DiskError: What stands there can't be removed.
    """
    # Nearly always nothing is there yet.
    with suppress(FileExistsError):
        return os.fdopen(_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), "r+b")
    with suppress(FileNotFoundError):
        try:
            file = os.fdopen(_open(path, os.O_RDWR), "r+b")
        except OSError as error:
            if error.errno not in _NO_REGULAR_FILE:
                raise
        else:
            # What is written into a file with another name shows there, too, and that may be outside the directory.
            if os.fstat(file.fileno()).st_nlink == 1:
                return file
            file.close()
    remove_any(path)
    return os.fdopen(_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), "r+b")


def open_new(path: Path) -> BufferedWriter:
    """Make a file and open it to write; what stands there is removed, and what that points to stays.

    Raises:
        OSError: It can't be made.
        DiskError: What stands there can't be removed.
    """
    with suppress(FileExistsError):
        return os.fdopen(_open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")
    remove_any(path)
    return os.fdopen(_open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")


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
