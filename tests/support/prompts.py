"""Waits until a program that asks at a terminal really waits for the answer."""

import subprocess
import time
from pathlib import Path
from threading import Event

from support.stage import DEADLINE_S

_READ = {"0", "63"}
"""The number of read(2) on x86-64 and on arm64."""


def until_reading(process: "subprocess.Popen[str]") -> None:
    """Wait until a process sleeps in read(2) of its standard input.

    A signal that comes after a question is written and before this only sets a mark, which Python looks at after the
    read: somebody at a terminal would press the keys again, a test would wait for good.
    """
    until = time.monotonic() + DEADLINE_S
    while True:
        words = Path(f"/proc/{process.pid}/syscall").read_text().split()
        if words[0] in _READ and words[1] == "0x0":
            return
        assert process.poll() is None, "it ended without reading the answer"
        assert time.monotonic() < until, f"it does not read: {words}"
        Event().wait(0.01)
