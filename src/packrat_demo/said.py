"""Runs a client and keeps what it said.

Takes: a command, its environment.
Gives: Said.
Touches: what the client touches.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Said:
    """One run of a client; output and error output in one."""

    command: str
    output: str
    exit_code: int


def run_client(command: Sequence[str], environment: Mapping[str, str], directory: Path, timeout_s: float) -> Said:
    """Run a client to its end, with nothing on its standard input."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        check=False,
    )
    return Said(" ".join(command), done.stdout.decode("utf-8", "replace"), done.returncode)
