"""Readers that fail on purpose, so that tests see what the engine makes of it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.fuzz.engine import Target

SOUND = b"sound"


@contextmanager
def planted_targets(_directory: Path) -> Iterator[list[Target]]:
    """A reader for each way to fail, on every input but the sound one."""
    yield [
        Target("planted.error", [SOUND], lambda data: {SOUND: 1}[data]),
        Target("planted.time", [SOUND], _spin),
        Target("planted.memory", [SOUND], lambda data: None if data == SOUND else bytearray(1 << 31)),
        Target("planted.end", [SOUND], lambda data: None if data == SOUND else os._exit(3)),
    ]


def _spin(data: bytes) -> None:
    ends = time.process_time() + 60
    while data != SOUND and time.process_time() < ends:
        pass
