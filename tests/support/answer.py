#!/usr/bin/python3
"""Runs a shell command at a terminal, and types an answer each time that it asks a question.

Takes what the question contains, the answer and the command. It runs in a fresh root, with that root's Python.
"""

import os
import pty
import select
import sys

_SILENCE_S = 5.0
_ECHO_LIMIT = 60
"""Fewer bytes than these after an answer are the rest of the question, and the echo."""


def main(asks: str, answer: str, command: str) -> int:
    """Run the command; gives its exit code."""
    seen = bytearray()
    answered = False

    def read(terminal: int) -> bytes:
        nonlocal answered
        # A program may throw away what was typed before it began to read.
        while answered and len(seen) < _ECHO_LIMIT and not select.select([terminal], [], [], _SILENCE_S)[0]:
            os.write(terminal, f"{answer}\n".encode())
        data = os.read(terminal, 4096)
        seen.extend(data)
        if asks.encode() in seen:
            seen.clear()
            answered = True
            os.write(terminal, f"{answer}\n".encode())
        return data

    return os.waitstatus_to_exitcode(pty.spawn(["bash", "-ec", command], read))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
