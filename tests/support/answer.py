#!/usr/bin/python3
"""Runs a shell command at a terminal, and types an answer each time that it asks a question.

Takes what the question contains, the answer and the command. It runs in a fresh root, with that root's Python.
"""

import os
import pty
import sys


def main(asks: str, answer: str, command: str) -> int:
    """Run the command; gives its exit code."""
    seen = bytearray()

    def read(terminal: int) -> bytes:
        data = os.read(terminal, 4096)
        seen.extend(data)
        if asks.encode() in seen:
            seen.clear()
            os.write(terminal, f"{answer}\n".encode())
        return data

    return os.waitstatus_to_exitcode(pty.spawn(["bash", "-ec", command], read))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
