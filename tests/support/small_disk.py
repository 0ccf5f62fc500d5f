"""A filesystem of its own for a directory, so small that it can be filled. Only root can mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(directory: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    """Mount one of `size`, such as `64k`, on a directory, made if it is missing; `inodes`: 0 for no limit."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "test", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def resize(directory: Path, size: str) -> None:
    """Give it another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", directory], check=True)
