"""What can happen to a file of a mirror, for audits to find."""

import os
from pathlib import Path


def flip_a_byte(path: Path) -> None:
    """One byte in the middle is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """Half of it is gone."""
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path) -> None:
    """It is gone."""
    path.unlink()


def make_a_directory(path: Path) -> None:
    """A directory stands in its place."""
    path.unlink()
    path.mkdir()


def link_outside(path: Path) -> None:
    """A link to somebody else's file stands in its place."""
    path.unlink()
    path.symlink_to("/etc/passwd")


def make_a_pipe(path: Path) -> None:
    """A pipe that never answers stands in its place."""
    path.unlink()
    os.mkfifo(path)


def close_to_others(path: Path) -> None:
    """Only its owner may read it."""
    path.chmod(0o600)
