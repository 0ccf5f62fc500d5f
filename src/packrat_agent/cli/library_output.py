"""Takes what C libraries print on stderr, such as librpm and GLib, into the log: one line of theirs, one event.

They know file descriptor 2 only, so that leads to a pipe from here on, and Python's stderr to where it led before.
"""

import atexit
import os
import re
import sys
import threading
from typing import BinaryIO

import structlog

from packrat_core.cli.standard_streams import open_lossy

log = structlog.get_logger()

_STDERR = 2
_LINE_LIMIT = 500
_END_S = 0.5
# librpm misses its table of platforms where the machine has no rpm, such as a Debian: it needs that to build packages,
# not to read them.
_HARMLESS = re.compile(r"error: Unable to open \S+/rpmrc for reading: No such file or directory\.")


def log_library_output() -> None:
    """Log what is printed on file descriptor 2 as warnings with the word `library`, until the program ends.

    Where Python's stderr leads elsewhere, somebody else has this process, and its file descriptors stay as they are.
    """
    try:
        if sys.stderr.fileno() != _STDERR:
            return
    except (AttributeError, OSError):
        # It is closed, or not a file.
        return
    sys.stderr.flush()
    before = os.dup(2)
    sys.stderr = open_lossy(before)
    reading, writing = os.pipe()
    # Never wait for the reader: a library may print while it keeps all Python threads from running.
    os.set_blocking(writing, False)
    os.dup2(writing, 2)
    os.close(writing)
    reader = threading.Thread(target=_log_lines, args=(os.fdopen(reading, "rb"),), daemon=True)
    reader.start()

    def end() -> None:
        # Closes the pipe's last end, so that the reader sees all that was printed.
        os.dup2(before, 2)
        reader.join(_END_S)

    atexit.register(end)


def _log_lines(lines: BinaryIO) -> None:
    while line := lines.readline(_LINE_LIMIT):
        text = line.decode("utf-8", "replace").strip()
        if text and not _HARMLESS.fullmatch(text):
            log.warning("library", text=text)
