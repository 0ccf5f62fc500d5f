"""Tells what the system refused where nothing nearer has told it; stdout may be what refused."""

import os
import stat
import sys

from packrat_core.errors import DiskError, PackratError
from packrat_core.fs.disk_errors import tell_os_error


def tell_system_error(error: OSError) -> PackratError:
    """Say in a sentence what the system refused.

    Raises:
        OSError: It is not one of the disk.
    """
    told = tell_os_error(error)
    if told is None:
        raise error
    if error.filename is None and _is_refused_by_stdout(error):
        return DiskError(f"can't write to stdout: {error.strerror}", hint="make room there, or send it elsewhere")
    return told


def _is_refused_by_stdout(error: OSError) -> bool:
    """Tell whether it was stdout that refused; then drop what it did not take, which Python would write at its end."""
    try:
        descriptor = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor):
            return False
        os.write(descriptor, b"\n")
    except (OSError, ValueError, AttributeError) as again:
        if getattr(again, "errno", None) != error.errno:
            return False
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return True
    return False
