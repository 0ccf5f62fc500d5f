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
_DEV_NULL = os.makedev(1, 3)
_GROWN_BYTES = 64 * 1024


def open_regular(path: Path | str) -> BufferedReader:
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


def open_descriptor(path: str, directory: int | None = None) -> tuple[int, os.stat_result]:
    """Open a regular file to read.

    Args:
        path: Where it is.
        directory: The descriptor of the directory that `path` is a name in; None for a path as usual.

    Returns:
        Its descriptor, which the caller closes, and what the system says of it.

    Raises:
        OSError: As `open_regular`.
    """
    return _open_and_look(path, os.O_RDONLY, directory)


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        OSError: As `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        content = _read_up_to(file, limit)
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_given(path: Path, limit: int) -> bytes:
    """Read a file that the operator names, of at most `limit` bytes; it may be a link, or a pipe that the shell made.

    Raises:
        OSError: As `open_given`, or it is larger.
    """
    with open_given(path) as file:
        # The size of a pipe or a terminal says nothing, nor does that of a file in /proc.
        has_size = os.fstat(file.fileno()).st_size > 0
        content = _read_up_to(file, limit) if has_size else file.read(limit + 1)
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def open_given(path: Path) -> BufferedReader:
    """Open a file that the operator names; it may be a link, or a pipe that the shell made.

    A pipe with a name, to which nobody may ever write, is refused: reading it could wait forever.

    Raises:
        OSError: It does not exist, can't be read, or is a directory, a named pipe, a socket or a device.
    """
    try:
        # O_NONBLOCK for the open alone, which would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError:
        raise _no_name(path) from None
    what = _name_unusable(path, descriptor)
    if what:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"is {what}, not a file", str(path))
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")


def _name_unusable(path: Path, descriptor: int) -> str:
    """Say what an open path is that can't be read to its end; '' if it can be."""
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        return "a directory"
    # The shell's lead to something that is not a file name: /proc/1/fd/pipe:[2].
    if stat.S_ISFIFO(found.st_mode) and os.path.lexists(os.path.realpath(path)):
        return "a named pipe"
    is_device = stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode)
    # At a terminal the operator types it; /dev/null stands for an empty file.
    return "a device" if is_device and not os.isatty(descriptor) and found.st_rdev != _DEV_NULL else ""


def open_to_resume(path: Path) -> BufferedRandom:
    """Open a regular file to read and write; made if it is missing, replaced if it isn't ours alone.

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
    return _open_and_look(path, flags)[0]


def _open_and_look(path: str | Path, flags: int, directory: int | None = None) -> tuple[int, os.stat_result]:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644, dir_fd=directory)
    except ValueError:
        raise _no_name(path) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return descriptor, status


def _read_up_to(file: BufferedReader, limit: int) -> bytes:
    """Read a file; one byte more than `limit` shows that it is larger."""
    # Python takes memory for all bytes that it is asked for, so ask for no more than there are; the loop takes what the
    # file has grown by since.
    content = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    while len(content) <= limit and (more := file.read(min(limit + 1 - len(content), _GROWN_BYTES))):
        content += more
    return content


def _too_large(path: Path, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))


def _no_name(path: str | Path) -> OSError:
    """It holds a NUL, or a character that has no bytes in a file's name."""
    return OSError(errno.EINVAL, "can't be the name of a file", repr(str(path)))
