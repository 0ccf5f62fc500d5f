"""Runs a client program that knows nothing of this machine's configuration, and says why it refuses a repository."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packrat_core.bounded_run import run_program

_TIMEOUT_S = 900
_LAST_LINES = 4
_LINE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Visit:
    """A served tree, as a client meets it.

    Attributes:
        top: Top of the tree.
        url: Address that it is served at.
        keys: The mirror's public keys in binary form; None if it is not signed.
        scratch: An empty directory for the client, which is its home.
    """

    top: Path
    url: str
    keys: bytes | None
    scratch: Path

    def run(self, *command: str, more: dict[str, str] | None = None) -> str | None:
        """Run a client to its end.

        Args:
            command: The program and its arguments.
            more: Further variables of its environment.

        Returns:
            The last lines that it printed if it failed; None if all went well.
        """
        # Neither the user's settings nor a proxy reach the client.
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.scratch), "LC_ALL": "C.UTF-8"}
        environment |= {"TMPDIR": str(self.scratch), "no_proxy": "*"} | (more or {})
        try:
            ending = run_program(command, environment, _TIMEOUT_S, self.scratch)
        except subprocess.TimeoutExpired:
            return f"no end within {_TIMEOUT_S} seconds"
        except OSError as error:
            return f"it can't be started: {error.strerror}"
        finally:
            _end_agents(self.scratch)
        if ending.overrun:
            return f"it was ended after it had printed {ending.overrun} bytes; {self._tail(ending.printed)}"
        if ending.code == 0:
            return None
        return self._tail(ending.printed) or f"exit code {ending.code}"

    def _tail(self, output: str) -> str:
        """Return the last lines, without what differs from run to run."""
        plain = output.replace(self.url, "").replace(str(self.scratch), "").replace(self.url.partition("//")[2], "")
        # Progress is written over itself, and in some clients with escape sequences.
        lines = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line.rpartition("\r")[2]).strip() for line in plain.split("\n")]
        printed = [line[:_LINE_LIMIT] for line in lines if line]
        # The errors that apt prints are the reason; what follows them is advice.
        errors = [line for line in printed if line.startswith(("E: ", "ERROR: "))]
        return "; ".join((errors or printed)[-_LAST_LINES:])


def _end_agents(home: Path) -> None:
    """End the gpg-agents that dnf and zypper leave behind, recognized by a home in the client's directory."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"gpg-agent") and any(word.startswith(f"{home}/".encode()) for word in words):
                os.kill(int(process.name), signal.SIGTERM)
