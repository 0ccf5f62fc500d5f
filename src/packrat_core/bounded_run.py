"""Runs a program with bounds on its time and on what it writes to each of its pipes.

What a pipe's limit doesn't let be kept is read and forgotten, so a program that writes without end fills neither the
memory nor a disk.

    process = start(["gpg", "--version"], stdin, os.environ)
    output, messages = BoundedPipe(process.stdout.fileno(), 1000, 1000), BoundedPipe(process.stderr.fileno(), 100, 1000)
    overrun = read_bounded(process, (output, messages), timeout_s=10)

    ending = run_program(["nginx", "-t"], os.environ, timeout_s=10)
"""

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_WATCH_INTERVAL_S = 0.25
_PIPE_BYTES = 64 * 1024
_END_BYTES = 1 << 20
_ALL_BYTES = 1 << 28


class BoundedPipe:
    """A pipe that a program writes to, with the beginning, or the end, of what it wrote."""

    def __init__(self, descriptor: int, kept: int, limit: int, *, keeps_end: bool = False) -> None:
        """Take the end to read from.

        Args:
            descriptor: It is set to be read without waiting.
            kept: How many bytes are kept.
            limit: The program is killed when it has written more bytes.
            keeps_end: Whether it is the last bytes that are kept, not the first.
        """
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.size = 0
        self._kept = kept
        self._limit = limit
        self._keeps_end = keeps_end
        self._parts: deque[bytes] = deque()
        self._held = 0

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
        if self._keeps_end or self.size < self._kept:
            self._parts.append(part)
            self._held += len(part)
        while self._keeps_end and self._held - len(self._parts[0]) >= self._kept:
            self._held -= len(self._parts.popleft())
        self.size += len(part)
        return len(part)

    def content(self) -> bytes:
        """Return what was kept."""
        held = b"".join(self._parts)
        return held[-self._kept :] if self._keeps_end else held[: self._kept]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a program that was run.

    Attributes:
        code: Its exit code, as `subprocess` has it.
        printed: The last of what it printed, on stdout and stderr.
        overrun: How many bytes it had printed when it was killed for that; None if it ended by itself.
    """

    code: int
    printed: str
    overrun: int | None


def run_program(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float, directory: Path | None = None
) -> Ending:
    """Run a program that reads nothing, and keep the last of what it prints.

    Args:
        command: The program and its arguments.
        environment: All variables of its environment.
        timeout_s: The longest it may take; a service that it leaves behind may go on.
        directory: Where it works; None for here.

    Raises:
        OSError: It can't be started.
        subprocess.TimeoutExpired: It took longer, and was killed.
    """
    process = start(command, subprocess.DEVNULL, environment, directory=directory, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = BoundedPipe(process.stdout.fileno(), _END_BYTES, _ALL_BYTES, keeps_end=True)
    # What it starts may hold the pipe open for as long as that runs.
    overrun = read_bounded(process, (output,), timeout_s, to_end_of_first=False)
    printed = output.content().decode("utf-8", "replace")
    return Ending(process.returncode, printed, output.size if overrun else None)


def start(
    command: Sequence[str],
    stdin: IO[bytes] | int,
    environment: Mapping[str, str],
    passed: Sequence[int] = (),
    directory: Path | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a program with pipes for its output and its messages, in a process group of its own.

    Args:
        command: The program and its arguments.
        stdin: As `subprocess` has it.
        environment: All variables of its environment.
        passed: File descriptors that it inherits.
        directory: Where it works; None for here.
        stderr: Where its messages go, as `subprocess` has it.

    Raises:
        OSError: It can't be started.
    """
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=passed,
        env=environment,
        cwd=directory,
        # So that everything a wrapper script starts can be ended with it.
        process_group=0,
    )


def read_bounded(
    process: subprocess.Popen[bytes], pipes: Sequence[BoundedPipe], timeout_s: float, *, to_end_of_first: bool = True
) -> BoundedPipe | None:
    """Read what a program writes until it ends, or until it is killed for one of its bounds.

    Args:
        process: It has ended when this returns.
        pipes: What it writes to.
        timeout_s: The longest it may take.
        to_end_of_first: Whether the first pipe is read to its end, also if something that it started holds it open.

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
                is_awaited = to_end_of_first and pipes[0].descriptor in is_open
                if not is_awaited and process.poll() is not None:
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
