"""Runs a client program and keeps its output."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientRun:
    """A finished run of a client; `output` has its standard output and error together."""

    command: str
    output: str
    exit_code: int


def run_client(command: Sequence[str], environment: Mapping[str, str], directory: Path, timeout_s: float) -> ClientRun:
    """Run a client to its end, with nothing on its standard input.

    Args:
        command: The program and its arguments.
        environment: The whole environment of the client.
        directory: The working directory.
        timeout_s: How long it may take.

    Raises:
        subprocess.TimeoutExpired: It takes longer.
        OSError: The program can't be started.
    """
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
    return ClientRun(" ".join(command), done.stdout.decode("utf-8", "replace"), done.returncode)
