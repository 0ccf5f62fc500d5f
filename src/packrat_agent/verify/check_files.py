"""Checks the files that the indexes of a tree name, each once, with all cores.

Threads share the files. Large files keep all cores busy that way, since Python hashes without its lock. Many small ones
do not, so that all threads but one then have a process that checks files for them (`processes.py`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import length_hint
from pathlib import Path

from packrat_agent.verify.check_file import Paths, check_file, pass_file
from packrat_agent.verify.findings import Fault, Named
from packrat_agent.verify.interrupts import uninterrupted
from packrat_agent.verify.processes import Process, Processes, count_cores, wait_for

_BATCH_FILES = 256
_BATCH_BYTES = 16 * 1024 * 1024
"""The batch that a process is given at once: large enough to be worth the wait for the thread that hands it out."""
_PARTS, _LAST_FILES = 8, 16
"""Batches shrink to this part of what is left, down to this number of files: so all end at about the same time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The faults of files, and the sum of the sizes of those that were read to their end, now or before."""

    faults: tuple[Fault, ...]
    size: int


@contextmanager
def checking(
    top: Path,
    named: Iterable[Named],
    right: Mapping[str, str],
    on_progress: Callable[[int, int], None],
    processes: Processes,
) -> Iterator[Callable[[], Checked]]:
    """Check all named files while the context lasts; yields what waits for the result.

    Args:
        top: Top of the tree.
        named: The files, and what their indexes say about them.
        right: Path → SHA-256 of the files that were read before and found right; they are not read again.
        on_progress: Called with (files, bytes) since the last call, from several threads.
        processes: Those that were started to help.
    """
    work = _Work(Paths(top), named, right, on_progress)
    alone = max(count_cores() - len(processes.started), 1)
    with ThreadPoolExecutor(len(processes.started) + alone) as threads:
        try:
            with uninterrupted():
                tasks = [threads.submit(work.check_by, process) for process in processes.started]
                tasks += [threads.submit(work.check) for _ in range(alone)]
            yield lambda: _join(wait_for(tasks))
        except BaseException:
            # Also if this thread is interrupted: leave nothing to do, and nobody to wait for.
            work.end()
            processes.stop()
            raise


def _join(parts: Sequence[Checked]) -> Checked:
    return Checked(tuple(fault for part in parts for fault in part.faults), sum(part.size for part in parts))


class _Work:
    """The files that wait to be checked; threads take from them until none is left."""

    def __init__(
        self, tree: Paths, named: Iterable[Named], right: Mapping[str, str], on_progress: Callable[[int, int], None]
    ) -> None:
        self._tree = tree
        self._right = right
        self._on_progress = on_progress
        # The threads share iterators: a task for each file takes longer than to read a small file.
        here: list[Named] = []
        anywhere: list[Named] = []
        for item in named:
            # A process knows nothing of what was found right before.
            (here if item.shares or right.get(item.path) == item.sha256 else anywhere).append(item)
        self._here, self._anywhere = iter(here), iter(anywhere)

    def check(self) -> Checked:
        """Check files in this thread."""
        try:
            checked = [
                pass_file(self._tree, item)
                if self._right.get(item.path) == item.sha256
                else check_file(self._tree, item, self._on_progress)
                for files in (self._here, self._anywhere)
                for item in files
            ]
        finally:
            # If it was stopped by an error, leave nothing for the other threads to do.
            self.end()
        return Checked(tuple(fault for fault, _ in checked if fault is not None), sum(size for _, size in checked))

    def check_by(self, process: Process) -> Checked:
        """Have files checked by a process, and then those that it can't check by this thread."""
        faults: list[Fault] = []
        total = 0
        try:
            while batch := self._take():
                found, size = process.check(batch, self._on_progress)
                faults += found
                total += size
        except BaseException:
            self.end()
            raise
        checked = self.check()
        return Checked((*faults, *checked.faults), total + checked.size)

    def _take(self) -> list[Named]:
        batch: list[Named] = []
        size = 0
        limit = max(min(_BATCH_FILES, length_hint(self._anywhere) // _PARTS), _LAST_FILES)
        while len(batch) < limit and size < _BATCH_BYTES and (item := next(self._anywhere, None)) is not None:
            batch.append(item)
            size += item.size or 0
        return batch

    def end(self) -> None:
        """Leave nothing for the threads to do."""
        for files in (self._here, self._anywhere):
            deque(files, maxlen=0)
