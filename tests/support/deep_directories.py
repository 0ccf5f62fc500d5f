"""Directories one in another, more than any path can name."""

import os
from pathlib import Path


def plant(top: Path, depth: int, file: str = "") -> None:
    """Make them, called `d`, with an empty file in each if it has a name."""
    top.mkdir(parents=True)
    inside = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        if file:
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, dir_fd=inside))
        os.mkdir("d", dir_fd=inside)
        deeper = os.open("d", os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = deeper
    os.close(inside)
