"""Starts packrat-agent again and again, each time as a copy of one process that has everything imported already.

Each copy is a process of its own that can be killed; what is left out is the time that Python needs to read modules.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LOOP = """
import json, os, sys
from packrat_agent.cli.main import main
import packrat_agent.sync.full_sync, packrat_agent.watch.agent
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.update(asked["environment"])
        out = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(descriptor, target)
        sys.argv = ["packrat-agent", *asked["arguments"]]
        main()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


_LOOK_S = 0.05
"""How often is looked what a started agent printed."""


@dataclass(frozen=True, slots=True)
class WarmAgent:
    """A process that starts the agent when asked."""

    process: "subprocess.Popen[str]"
    output: Path

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Run the agent to its end; gives the exit code, negative for a signal, and all that it printed."""
        self.start(arguments, environment)
        return self.end()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start the agent; gives its process id. Another one can be started after `end`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.output.unlink(missing_ok=True)
        asked = {"arguments": list(arguments), "environment": dict(environment), "output": str(self.output)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

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
        assert self.process.stdout is not None
        return int(self.process.stdout.readline()), self.output.read_text(errors="replace")


@contextmanager
def warm_agent(directory: Path, environment: Mapping[str, str]) -> Iterator[WarmAgent]:
    """Run such a process; its environment is that of each agent."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LOOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield WarmAgent(process, directory / "agent.log")
    finally:
        process.kill()
        process.wait()
