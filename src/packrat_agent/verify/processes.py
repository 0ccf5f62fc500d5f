"""Other processes that check files, since Python runs on one core at a time.

    with Processes(top) as processes:
        for named in found:
            processes.expect(named)  # starts them as soon as there are enough files
        for process in processes.started:
            process.check(batch, on_progress)

1. Each is a new interpreter, never a copy of this process, in which threads may run. It imports only what checks files.
2. It reads batches of files from its stdin, pickled by this process, and answers on its stdout with lines of JSON.
3. It ends when its stdin does, so that none is left whatever becomes of this process.
4. A process that ends too early is an error: what it had to check was not checked.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self, TypeVar

from packrat_agent.verify.findings import Fault, Named
from packrat_agent.verify.interrupts import uninterrupted
from packrat_agent.verify.process_main import main
from packrat_core.errors import ConfigError, DiskError, PackratError, SigningError

_ENOUGH_FILES = 2000
"""Small files that are checked in a fifth of a second, which is worth the twentieth that a process takes to start."""
_SMALL_BYTES = 1024 * 1024
"""Larger files are mostly hashed, and that threads of one process do side by side."""
_LIMIT = 8
"""Number of processes, this one included: each takes 25 MB of memory."""
_END_S = 2.0

_LOOK_S = 0.2

T = TypeVar("T")

_ERRORS = {error.__name__: error for error in (ConfigError, DiskError, SigningError)}


def is_small(named: Named) -> bool:
    """Tell whether a file is read in less time than it takes to look into it; True where its size is not known."""
    return (named.size or 0) <= _SMALL_BYTES


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def wait_for(tasks: Sequence[Future[T]]) -> list[T]:
    """Wait for the results of tasks, interruptible by Ctrl-C; raises the error of the first one that fails."""
    pending = set(tasks)
    with uninterrupted() as interrupt:
        while pending:
            done, pending = wait(pending, _LOOK_S, FIRST_EXCEPTION)
            interrupt()
            for task in done:
                task.result()
        return [task.result() for task in tasks]


class Process:
    """A process that checks files of one tree."""

    def __init__(self, top: Path, reader: str) -> None:
        """Start it.

        Args:
            top: Top of the tree.
            reader: The module that reads the files that are expected, imported before the first of them comes.

        Raises:
            OSError: It can't be started.
        """
        # It imports from where this process does. Without -P, it would look in the current directory first.
        program = f"import sys; sys.path[:] = {sys.path!r}; import {reader}; from {main.__module__} import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-I" if sys.flags.isolated else "-P", "-c", program, str(top)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A session of its own, so that Ctrl-C interrupts this process alone, which then ends the other one.
            process_group=0,
        )
        self.pid = self._process.pid

    def check(self, batch: Sequence[Named], on_progress: Callable[[int, int], None]) -> tuple[list[Fault], int]:
        """Have files checked, and wait for it.

        Args:
            batch: The files, and what their indexes say about them.
            on_progress: Called with (files, bytes) since the last call.

        Returns:
            What is wrong with them, and the sum of the sizes of those that were read to their end.

        Raises:
            PackratError: The process met with an error that concerns all files, or has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            pickle.dump(batch, stdin, pickle.HIGHEST_PROTOCOL)
            stdin.flush()
        for line in stdout:
            match json.loads(line):
                case {"files": int(files), "bytes": int(size)}:
                    on_progress(files, size)
                case {"faults": list(faults), "read": int(read)}:
                    return [Fault(path, what) for path, what in faults], read
                case {"error": str(name), "message": str(message), "hint": str(hint)}:
                    raise _ERRORS.get(name, PackratError)(message, hint=hint)
        raise self._explain_end()

    def stop(self) -> None:
        """End the process, whatever it does; it ends the programs that it has started itself."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Close the pipes to it, once nobody uses them."""
        for pipe in (self._process.stdin, self._process.stdout):
            # What could not be written before is flushed now, and nobody reads it.
            with suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()

    def _explain_end(self) -> PackratError:
        code = self._process.wait()
        how = f"was killed by {Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return PackratError(
            f"a process that checked files {how}, and its files are not checked",
            hint="verify again; if it was killed, look in the kernel's log whether memory was short",
        )


class Processes:
    """The processes that check files of one tree beside this one: none before there is enough for them to do."""

    def __init__(self, top: Path) -> None:
        self.started: list[Process] = []
        self._top = top
        self._expected = 0

    def __enter__(self) -> Self:
        """Begin without any."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all."""
        self.stop()
        for process in self.started:
            process.close()

    def expect(self, named: Named) -> None:
        """Count a file that will have to be checked, and start the processes if that makes enough."""
        if is_small(named):
            self._expected += 1
            if self._expected == _ENOUGH_FILES:
                self._start(_reader_of(named))

    def stop(self) -> None:
        """End all, whatever they do, while others may still wait for their answers."""
        for process in self.started:
            process.stop()
        for process in self.started:
            process.wait()

    def _start(self, reader: str) -> None:
        # Where no more can be started, threads do the work.
        with suppress(OSError):
            while len(self.started) < min(count_cores(), _LIMIT) - 1:
                self.started.append(Process(self._top, reader))


def _reader_of(named: Named) -> str:
    """Name the module that looks into a file; one that is there in any case where nothing does."""
    read = named.read.func if isinstance(named.read, partial) else named.read
    return main.__module__ if read is None else read.__module__
