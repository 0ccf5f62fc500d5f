"""A process that has packrat-agent imported and starts copies of itself, each of which runs one command and ends.

`warm_agent` starts it and asks it; the descriptor of the socket for questions is its argument.
"""

import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module, reload
from pkgutil import walk_packages

from packrat_agent.cli.main import main
from packrat_core import failpoints

LONGEST_QUESTION = 100_000
"""In bytes; nearly all of it is the environment."""
DESCRIPTORS = 4
"""Standard input, output and error of the copy, and where its process id and its ending are told."""

_IMPORTED = ("cli", "formats", "verify")
"""The rooms of the agent whose modules the commands import that tests call most, many of them only when needed."""


def _serve(questions: socket.socket) -> None:
    """Start a copy for each question, until nobody can ask any more; in a copy, run its command."""
    # Nobody waits for the processes that wait for copies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        question, descriptors, _, _ = socket.recv_fds(questions, LONGEST_QUESTION, DESCRIPTORS)
        if not question:
            return
        if os.fork() == 0:
            questions.close()
            if _start(descriptors):
                _run(json.loads(question))
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _start(descriptors: list[int]) -> bool:
    """Make the copy, and wait for its end; tells whether this is the copy."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, told = descriptors
    copy = os.fork()
    if copy == 0:
        os.close(told)
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return True
    for descriptor in (*standard, 0, 1, 2):
        os.close(descriptor)
    os.write(told, f"{copy}\n".encode())
    _, status = os.waitpid(copy, 0)
    os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(question: dict[str, object]) -> None:
    arguments, environment, directory = question["arguments"], question["environment"], question["directory"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(directory))
    # It has read the environment when it was imported.
    reload(failpoints)
    sys.argv = ["packrat-agent", *arguments]
    main()


if __name__ == "__main__":
    for room in _IMPORTED:
        path = import_module(f"packrat_agent.{room}").__path__
        for module in walk_packages(path, f"packrat_agent.{room}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    # What is never looked at by a collection stays shared between the copies.
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
