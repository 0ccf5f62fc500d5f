"""Lets commands work with closed standard streams, which then lead to nowhere, and with a stderr that is full.

What stderr does not take, as on a full disk or at a terminal that is gone, is lost: the exit code tells only how the
work went. A command whose stdout nobody reads any more, as that of `status | head`, ends without a word.
"""

import io
import os
import select
import signal
import sys
from typing import Any, TextIO

UNREAD = 128 + signal.SIGPIPE
"""Exit code of a command whose stdout nobody reads any more; a shell gives the same for a program ended by SIGPIPE."""


def open_closed_streams() -> None:
    """Have each of stdin, stdout and stderr that was closed lead to nowhere, also for the programs that are started.

    The next file to be opened would get its number, and with that what libraries and other programs print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def lose_unread_stdout() -> bool:
    """Tell whether the reader of stdout is gone; if so, lead to nowhere what stdout still holds.

    Python would write that at its end, and tell the error with a traceback.
    """
    try:
        descriptor = sys.stdout.fileno()
        look = select.poll()
        look.register(descriptor, 0)
        if not any(event & (select.POLLERR | select.POLLHUP) for _, event in look.poll(0)):
            return False
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    except (AttributeError, OSError, ValueError):
        return False
    return True


def let_stderr_lose() -> None:
    """Have stderr lose what it does not take, where it is the one that this process began with."""
    # What else stands there belongs to a caller in this process.
    first = sys.__stderr__
    if first is not None and sys.stderr is first:
        sys.stderr = open_lossy(first.fileno())


def open_lossy(descriptor: int) -> TextIO:
    """Write to an open file as to stderr, and lose what it does not take."""
    file = io.BufferedWriter(_LossyFile(descriptor, "w", closefd=False))
    return io.TextIOWrapper(file, sys.stderr.encoding, "backslashreplace", line_buffering=True)


class _LossyFile(io.FileIO):
    def write(self, data: Any) -> int:
        """Write some of the data, or lose all of it."""
        try:
            written = super().write(data)
        except OSError:
            return len(data)
        # None where it would have to wait, as at a terminal that another program has left like that.
        return len(data) if written is None else written
