"""Explains what the system refused where no other code has; stdout may be what refused."""

import errno
import os
import stat
import sys

from packrat_core.errors import DiskError, PackratError
from packrat_core.fs.disk_errors import explain_os_error

_NO_THREAD = "can't start new thread"
"""What Python says where the system refuses a thread, for want of memory or by a limit on tasks."""


def explain_want_of_memory(error: Exception) -> PackratError:
    """Say in a sentence that this process gets no more memory, or no more threads.

    Args:
        error: What was raised; a group of errors, where one of several tasks failed.

    Raises:
        Exception: The error itself, if that is not why.
    """
    reason = error
    while isinstance(reason, ExceptionGroup):
        reason = reason.exceptions[0]
    if not isinstance(reason, MemoryError) and str(reason) != _NO_THREAD:
        raise error
    return PackratError(
        f"this process gets no more {'memory' if isinstance(reason, MemoryError) else 'memory or threads'}",
        hint="free memory, or raise what it may have (`MemoryMax=` and `TasksMax=` of a unit, `ulimit -v` and `-u`); "
        "what was begun goes on at the next start",
    )


def explain_system_error(error: OSError) -> PackratError:
    """Explain in a sentence what the system refused.

    Raises:
        OSError: It is not one of the disk.
    """
    disk_error = explain_os_error(error)
    if disk_error is None:
        raise error
    if error.filename is None and _is_refused_by_stdout(error):
        return DiskError(f"can't write to stdout: {error.strerror}", hint="free space there, or send it elsewhere")
    return disk_error


def _is_refused_by_stdout(error: OSError) -> bool:
    """Tell whether it was stdout that refused; then drop what it did not take, which Python would write at its end."""
    try:
        descriptor = sys.stdout.fileno()
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or os.isatty(descriptor):
            return False
        # Only what the command has to say, and then nothing: a probe would stay in a file that does take it.
        sys.stdout.flush()
        os.write(descriptor, b"")
        is_full = error.errno == errno.ENOSPC and stat.S_ISREG(mode) and os.fstatvfs(descriptor).f_bavail == 0
    except (OSError, ValueError, AttributeError) as again:
        is_full = getattr(again, "errno", None) == error.errno
    if is_full:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return is_full
