"""Lets other processes check files while this one still reads the indexes that name them.

    with EarlyChecks(processes) as early:
        for named in found:
            early.expect(named)
        checked = early.end(all_named, on_progress)  # the rest is left to `check_files.py`

A later index may say more about a file. What was found out about it by then does not count, and it is checked again.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from packrat_agent.verify.findings import Fault, Named
from packrat_agent.verify.interrupts import uninterrupted
from packrat_agent.verify.processes import Process, Processes, is_small, wait_for

_BATCH_FILES = 64
"""The batch that a process is given at once: at the end of the indexes, this one waits for the last batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were checked, what is wrong with them, and the sum of the sizes of those that were read."""

    files: Sequence[Named]
    faults: Sequence[Fault]
    size: int


class EarlyChecks:
    """Gives files to processes as soon as these are started, until all indexes are read."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._files: list[Named] = []
        self._batches: SimpleQueue[Sequence[Named]] = SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: list[Future[None]] = []
        self._checked: list[Batch] = []
        self._is_over = False

    def __enter__(self) -> Self:
        """Begin without any."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for nothing any longer, if an error ends it."""
        try:
            if error is not None:
                self._processes.stop()
        finally:
            # Even if Ctrl-C comes once more here: a thread that nobody wakes would wait for files for ever.
            self._stop()
        if self._threads is not None:
            self._threads.shutdown()

    def expect(self, named: Named) -> None:
        """Have a file checked in the background, if there are enough and no later index is likely to say more of it.

        Raises:
            PackratError: As `end`; raised here if a process ended while indexes are read.
        """
        self._processes.expect(named)
        if named.read is None or named.look is not None or named.shares or not is_small(named):
            return
        self._files.append(named)
        if len(self._files) == _BATCH_FILES:
            with uninterrupted():
                for task in self._tasks:
                    # A task that ends this early has failed; say so without waiting for the last index.
                    if task.done():
                        task.result()
                self._batches.put(self._files)
                self._files = []
                if self._threads is None and self._processes.started:
                    self._threads = ThreadPoolExecutor(len(self._processes.started))
                    for process in self._processes.started:
                        self._tasks.append(self._threads.submit(self._check_by, process))

    def end(self, named: Mapping[str, Named], on_progress: Callable[[int, int], None]) -> Sequence[Batch]:
        """Give no more files to the processes.

        Args:
            named: Path → all that is known of a file now.
            on_progress: Called with (files, bytes) of each batch that counts.

        Returns:
            What was checked of files about which nothing else became known.

        Raises:
            PackratError: A process met with an error that concerns all files, or has ended.
        """
        self._stop()
        wait_for(self._tasks)
        counting = [batch for batch in self._checked if all(named[file.path] is file for file in batch.files)]
        for batch in counting:
            on_progress(len(batch.files), batch.size)
        return counting

    def _check_by(self, process: Process) -> None:
        while (batch := self._batches.get()) and not self._is_over:
            faults, size = process.check(batch, lambda files, size: None)
            self._checked.append(Batch(batch, faults, size))

    def _stop(self) -> None:
        self._is_over = True
        for _ in self._processes.started:
            self._batches.put(())
