"""Watches the file calls of a real process, and makes some of them fail: calls.c, preloaded into it."""

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("calls.c")

CHANGES = ("create", "write", "truncate", "fsync", "syncfs", "mkdir", "rename", "link", "unlink", "chmod", "utime")
"""The calls that a full or read-only disk refuses."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was recorded; `source` is the first path of two."""

    name: str
    path: str
    source: str = ""
    refused: bool = False

    @property
    def place(self) -> str:
        """The path without what differs from run to run."""
        return re.sub(r"[0-9a-f]{16,}|\d+", "#", self.path)


@dataclass(frozen=True, slots=True)
class Watch:
    """How a process is watched: below which directories, and where its calls are written down."""

    library: Path
    below: tuple[Path, ...]
    log: Path

    def environment(self, **faults: str) -> dict[str, str]:
        """The environment of a process whose calls are recorded; faults: `fail="write,fsync"`, … (see calls.c)."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self.library),
            "CALLS_BELOW": ":".join(str(path) for path in self.below),
            "CALLS_LOG": str(self.log),
            **{f"CALLS_{name.upper()}": value for name, value in faults.items()},
        }

    def calls(self) -> list[Call]:
        """What was recorded so far."""
        found = []
        text = self.log.read_text(errors="surrogateescape") if self.log.exists() else ""
        for line in text.splitlines():
            name, first, *second = line.split("\t")
            path, source = (second[0], first) if second else (first, "")
            found.append(Call(name.removeprefix("!"), path, source, name.startswith("!")))
        return found


def watch(directory: Path, below: Sequence[Path]) -> Watch:
    """Put the library into `directory`, and watch what happens below some others."""
    library = directory / "calls.so"
    # Not in the place of one that a process may have mapped.
    if not library.exists():
        library.write_bytes(_built())
    return Watch(library, tuple(below), directory / "calls.log")


@cache
def _built() -> bytes:
    """The library, compiled once a process."""
    with tempfile.TemporaryDirectory() as place:
        library = Path(place) / "calls.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"], check=True)
        return library.read_bytes()


def number(name: str) -> str:
    """The number of an error, as calls.c wants it."""
    return str(getattr(errno, name))
