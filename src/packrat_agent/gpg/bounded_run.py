"""Runs a program with bounds on its time and on what it writes to each of its pipes.

What a pipe's limit doesn't let be kept is read and forgotten, so a program that writes without end fills neither the
memory nor a disk.

    process = start(["gpg", "--version"], stdin)
    output, messages = BoundedPipe(process.stdout.fileno(), 1000, 1000), BoundedPipe(process.stderr.fileno(), 100, 1000)
    overrun = read_bounded(process, (output, messages), timeout_s=10)
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import IO

_WATCH_INTERVAL_S = 0.25
_PIPE_BYTES = 64 * 1024


class BoundedPipe:
    """A pipe that a program writes to, with the beginning of what it wrote."""

    def __init__(self, descriptor: int, kept: int, limit: int) -> None:
        """Take the end to read from.

        Args:
            descriptor: It is set to be read without waiting.
            kept: How many bytes are kept.
            limit: The program is killed when it has written more bytes.
        """
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.size = 0
        self._kept = kept
        self._limit = limit
        self._parts: list[bytes] = []

    @property
    def is_overrun(self) -> bool:
        """Whether the program wrote more than it may."""
        return self.size > self._limit

    def read(self) -> int | None:
        """Read some of it; gives how much that was, 0 at its end, None if there is nothing now."""
        try:
            part = os.read(self.descriptor, _PIPE_BYTES)
        except BlockingIOError:
            return None
        if self.size < self._kept:
            self._parts.append(part)
        self.size += len(part)
        return len(part)

    def content(self) -> bytes:
        """Return what was kept."""
        return b"".join(self._parts)[: self._kept]


def start(
    command: Sequence[str], stdin: IO[bytes] | int, environment: dict[str, str], passed: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a program with pipes for its output and its messages, in a process group of its own.

    Args:
        command: The program and its arguments.
        stdin: As `subprocess` has it.
        environment: All variables of its environment.
        passed: File descriptors that it inherits.

    Raises:
        OSError: It can't be started.
    """
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=passed,
        env=environment,
        # So that everything a wrapper script starts can be ended with it.
        process_group=0,
    )


def read_bounded(
    process: subprocess.Popen[bytes], pipes: Sequence[BoundedPipe], timeout_s: float
) -> BoundedPipe | None:
    """Read what a program writes until it ends, or until it is killed for one of its bounds.

    Args:
        process: It has ended when this returns.
        pipes: What it writes to; the first one is read to its end, also if something that it started holds it open.
        timeout_s: The longest it may take.

    Returns:
        The pipe that it wrote too much to; None if there is none.

    Raises:
        subprocess.TimeoutExpired: It took longer.
    """
    latest = time.monotonic() + timeout_s
    poll = select.poll()
    is_open = {pipe.descriptor: pipe for pipe in pipes}
    for descriptor in is_open:
        poll.register(descriptor, select.POLLIN)
    with process:
        try:
            while is_open:
                for descriptor, _ in poll.poll(_WATCH_INTERVAL_S * 1000):
                    if is_open[descriptor].read() == 0:
                        poll.unregister(descriptor)
                        del is_open[descriptor]
                    elif is_open[descriptor].is_overrun:
                        return is_open[descriptor]
                if time.monotonic() > latest:
                    raise subprocess.TimeoutExpired(process.args, timeout_s)
                if pipes[0].descriptor not in is_open and process.poll() is not None:
                    # The others may be held open; what the program itself wrote is all in them.
                    return _read_rest(is_open.values())
            process.wait(max(0.0, latest - time.monotonic()))
        finally:
            _kill(process)
    return None


def _read_rest(pipes: Iterable[BoundedPipe]) -> BoundedPipe | None:
    for pipe in pipes:
        while pipe.read():
            if pipe.is_overrun:
                return pipe
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has not been waited for, and all that it has started in its group."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
