"""The program of a process that checks files for another one; `processes.py` says how the two talk."""

import json
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from packrat_agent.verify.check_file import Paths, check_file
from packrat_agent.verify.findings import Named
from packrat_core.errors import PackratError

_REPORT_BYTES = 1024 * 1024
"""Bytes that are read between two reports of progress."""


def main() -> None:
    """Check batches of files until there are no more; the tree's top is the only argument."""
    signal.signal(signal.SIGTERM, _end)
    # What a library prints must not be taken for an answer.
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)
        # If nobody listens, there is nothing left to do.
        with suppress(BrokenPipeError):
            answer_batches(Path(sys.argv[1]), sys.stdin.buffer, answers)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End at once, and with this process the programs that it has started: each leads a process group of its own."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with suppress(OSError):
                os.killpg(int(pid), signal.SIGKILL)
    # What Python does at its own end takes longer than all this.
    os._exit(0)


def answer_batches(top: Path, batches: BinaryIO, answers: BinaryIO) -> None:
    """Check batch after batch.

    Args:
        top: Top of the tree.
        batches: Where they are read from.
        answers: Where is written what was found.

    Raises:
        BrokenPipeError: Nobody reads the answers.
    """
    tree = Paths(top)
    with suppress(EOFError):
        while True:
            # It comes from the process that started this one, which has its stdin alone.
            batch: Sequence[Named] = pickle.load(batches)  # noqa: S301 as above
            try:
                _tell(answers, _check_batch(tree, batch, answers))
            except PackratError as error:
                _tell(answers, {"error": type(error).__name__, "message": error.message, "hint": error.hint})


def _check_batch(tree: Paths, batch: Sequence[Named], answers: BinaryIO) -> dict[str, Any]:
    """Check the files of a batch, and report progress.

    Args:
        tree: Opens the files of the tree.
        batch: The files.
        answers: Where progress is reported.

    Returns:
        The last answer.
    """
    unreported = {"files": 0, "bytes": 0}

    def count(files: int, size: int) -> None:
        unreported["files"] += files
        unreported["bytes"] += size
        if unreported["bytes"] >= _REPORT_BYTES:
            _tell(answers, unreported)
            unreported.update(files=0, bytes=0)

    faults, read = [], 0
    for named in batch:
        fault, size = check_file(tree, named, count)
        read += size
        if fault is not None:
            faults.append((fault.path, fault.what))
    _tell(answers, unreported)
    return {"faults": faults, "read": read}


def _tell(answers: BinaryIO, answer: dict[str, Any]) -> None:
    rest = memoryview(json.dumps(answer).encode() + b"\n")
    while rest:
        rest = rest[answers.write(rest) :]
