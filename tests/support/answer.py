#!/usr/bin/python3
"""Runs a shell command at a terminal, and types an answer each time that it asks a question.

Takes what the question contains, the answer and the command. It runs in a fresh root, with that root's Python.
"""

import os
import pty
import select
import sys

_SILENCE_S = 5.0
_SILENCES = 20
"""After so many in a row, the command waits for something other than this answer."""
_ECHO_LIMIT = 60
"""Fewer bytes than these after an answer are the rest of the question, and the echo."""


def main(asks: str, answer: str, command: str) -> int:
    """Run the command; gives its exit code."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvp("bash", ["bash", "-ec", command])
    try:
        _talk(terminal, asks.encode(), f"{answer}\n".encode())
    finally:
        # A command that still runs is told that its terminal has gone.
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _talk(terminal: int, asks: bytes, answer: bytes) -> None:
    """Show what the command writes and answer it, until it ends.

    Args:
        terminal: the command's terminal.
        asks: what a question contains.
        answer: what is typed then.
    """
    seen = bytearray()
    answered = False
    silences = 0
    while silences < _SILENCES:
        if not select.select([terminal], [], [], _SILENCE_S)[0]:
            silences += 1
            # A program may throw away what was typed before it began to read.
            if answered and len(seen) < _ECHO_LIMIT:
                os.write(terminal, answer)
            continue
        silences = 0
        try:
            data = os.read(terminal, 4096)
        except OSError:
            # Linux says so when the last process that had the terminal has left it.
            return
        if not data:
            return
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        seen += data
        if asks in seen:
            seen.clear()
            answered = True
            os.write(terminal, answer)
    print(f"\nnothing more came; the last was {bytes(seen[-400:])!r}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
