"""Starts packrat-agent again and again, each time as a copy of one process that has everything imported already.

Each copy is a process of its own that can be killed; what is left out is the time that Python needs to read modules,
which is most of what a small sync takes.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from support import agent_copier

AGENT = (sys.executable, "-m", "packrat_agent.cli")
"""How a new process of packrat-agent is started."""

_LOOK_S = 0.05
"""How often is looked what a started agent printed."""
_AT_START = ("LD_", "FAKETIME", "PYTHON", "LC_", "LANG", "TZ")
"""How the variables begin that a process reads only while it starts, so that a copy would go by the copier's."""
_COPIERS = 2
"""How many are kept: one for most tests, and one whose calls the test at work watches."""


class Copier:
    """The process that is copied."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; it ends with this process.

        environment: All variables of its own; a copy may have others.
        """
        self._questions, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", agent_copier.__file__, str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int) -> "Copy":
        """Start a copy.

        Args:
            arguments: Those of packrat-agent.
            environment: All its variables.
            out: The descriptor that it prints to.
            err: The descriptor of what it logs.
        """
        asked = {"arguments": list(arguments), "environment": dict(environment), "directory": str(Path.cwd())}
        told, telling = os.pipe()
        with Path(os.devnull).open("rb") as nothing:
            try:
                socket.send_fds(self._questions, [json.dumps(asked).encode()], [nothing.fileno(), out, err, telling])
            finally:
                os.close(telling)
        return Copy(told)

    def end(self) -> None:
        """End it; copies go on."""
        self._questions.close()
        self.process.kill()
        self.process.wait()


class Copy:
    """An agent that was started."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told)
        self.pid = int(self._told.readline())

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it ends, and kill it where that takes longer; gives the exit code, negative for a signal."""
        with self._told:
            try:
                if not self.ends_within(timeout_s):
                    raise subprocess.TimeoutExpired("packrat-agent", timeout_s or 0)
                return int(self._told.readline())
            except BaseException:
                self.kill()
                raise

    def ends_within(self, timeout_s: float | None) -> bool:
        """Wait so long for its end, before `wait`; tells whether it came."""
        return bool(select.select([self._told], [], [], timeout_s)[0])

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        with self._told, suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            self._told.read()


_kept: dict[frozenset[tuple[str, str]], Copier] = {}


def _copier_for(environment: Mapping[str, str]) -> Copier:
    """Give the process whose copies do what a new process with these variables would do."""
    at_start = frozenset(item for item in environment.items() if item[0].startswith(_AT_START))
    if at_start not in _kept:
        if len(_kept) == _COPIERS:
            _kept.pop(next(reversed(_kept))).end()
        _kept[at_start] = Copier(environment)
    return _kept[at_start]


def run_agent(
    arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run packrat-agent to its end.

    Args:
        arguments: Those of packrat-agent.
        environment: All its variables.
        timeout_s: It is killed when it takes longer.

    Raises:
        subprocess.TimeoutExpired: It took longer.
    """
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        code = _copier_for(environment).start(arguments, environment, out.fileno(), err.fileno()).wait(timeout_s)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess([*AGENT, *arguments], code, out.read(), err.read())


class RunningAgent:
    """An agent that runs until it is told to end, to be used like a subprocess.Popen; stderr is its log."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it.

        environment: All its variables.
        """
        log, writing = os.pipe()
        self.stderr = os.fdopen(log)
        self._code: int | None = None
        try:
            with Path(os.devnull).open("wb") as nothing:
                self._copy = _copier_for(environment).start(arguments, environment, nothing.fileno(), writing)
        finally:
            os.close(writing)
        self.pid = self._copy.pid

    def poll(self) -> int | None:
        """Give the exit code; None while it runs."""
        return self.wait() if self._code is not None or self._copy.ends_within(0) else None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it ends; gives the exit code, negative for a signal.

        Raises: subprocess.TimeoutExpired: It takes longer, and goes on.
        """
        if self._code is None:
            if not self._copy.ends_within(timeout_s):
                raise subprocess.TimeoutExpired("packrat-agent", timeout_s or 0)
            self._code = self._copy.wait()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@dataclass(slots=True)
class WarmAgent:
    """Starts one agent after the other, all in one environment and with one log."""

    copier: Copier
    environment: Mapping[str, str]
    output: Path
    _copy: Copy | None = None

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Run the agent to its end; gives the exit code, negative for a signal, and all that it printed."""
        self.start(arguments, environment)
        return self.end()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start the agent; gives its process id. Another one can be started after `end`.

        Args:
            arguments: Those of packrat-agent.
            environment: Variables that this one has besides.
        """
        self.output.unlink(missing_ok=True)
        with self.output.open("wb") as out:
            whole = {**self.environment, **environment}
            self._copy = self.copier.start(arguments, whole, out.fileno(), out.fileno())
        return self._copy.pid

    def until_printed(self, pid: int, text: str, count: int = 1) -> bool:
        """Wait until a started agent has printed a text so many times; False if it ended before."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            while not select.select([process], [], [], _LOOK_S)[0]:
                if self.output.exists() and self.output.read_text(errors="replace").count(text) >= count:
                    return True
            return False
        finally:
            os.close(process)

    def end(self) -> tuple[int, str]:
        """Wait until the started agent ends; gives the same as `run`."""
        assert self._copy is not None
        copy, self._copy = self._copy, None
        return copy.wait(), self.output.read_text(errors="replace")

    def close(self) -> None:
        """End the process that is copied, and an agent that still runs."""
        self.copier.end()
        if self._copy is not None:
            self._copy.kill()


@contextmanager
def warm_agent(directory: Path, environment: Mapping[str, str]) -> Iterator[WarmAgent]:
    """Run such a process; its environment is that of each agent."""
    whole = {**os.environ, **environment}
    agent = WarmAgent(Copier(whole), whole, directory / "agent.log")
    try:
        yield agent
    finally:
        agent.close()
