"""Checks one file that an index of a tree names: it is read to its end, and held against what its index says."""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from packrat_agent.verify.findings import Fault, Named, explain_os_error
from packrat_core.fs.open import open_unbuffered
from packrat_core.fs.page_cache import read_sparingly
from packrat_core.text import count_of

_SURROGATE = re.compile("[\ud800-\udfff]")


class Paths:
    """Opens files of the tree by their paths in indexes, and looks at each directory above them once."""

    def __init__(self, top: Path) -> None:
        self._top = str(top)
        # '' is the top, which may be a link.
        self._behind_link: dict[str, bool] = {"": False}

    def open(self, path: str) -> FileIO:
        """Open a file.

        Raises:
            OSError: It is not a regular file, or its path leads through a symbolic link.
        """
        # Names come from untrusted indexes; NUL and surrogates would raise other errors below.
        if "\0" in path or _SURROGATE.search(path):
            raise OSError("can't be a file's name")
        if self._is_behind_link(path.rpartition("/")[0]):
            raise OSError("stands behind a symbolic link")
        return open_unbuffered(f"{self._top}/{path}")

    def _is_behind_link(self, directory: str) -> bool:
        """Return whether a directory or one above it is a symbolic link; several threads may look at the same one."""
        # Without recursion: an index may name a path with more directories than Python can call.
        below: list[str] = []
        while directory not in self._behind_link:
            below.append(directory)
            directory = directory.rpartition("/")[0]
        is_behind = self._behind_link[directory]
        for directory in reversed(below):
            is_behind = is_behind or os.path.islink(f"{self._top}/{directory}")  # there may be thousands
            self._behind_link[directory] = is_behind
        return is_behind


def pass_file(tree: Paths, named: Named) -> tuple[Fault | None, int]:
    """Look only whether a file that was right is still there; give what is wrong, or None, and its size in bytes."""
    try:
        with tree.open(named.path) as file:
            return None, os.fstat(file.fileno()).st_size
    except OSError as error:
        return Fault(named.path, f"named by {named.by}: {explain_os_error(error)}"), 0


def check_file(tree: Paths, named: Named, on_progress: Callable[[int, int], None]) -> tuple[Fault | None, int]:
    """Check one named file.

    Args:
        tree: Opens the files of the tree.
        named: The file, and what its index says about it.
        on_progress: Called with (files, bytes) since the last call.

    Returns:
        What is wrong with it, or None, and its size in bytes; 0 if it was not read to its end.
    """
    digest = hashlib.sha256()
    try:
        with tree.open(named.path) as file:
            status = os.fstat(file.fileno())
            # If the size is wrong, the hash is wrong, too: don't read the file.
            if named.size is not None and status.st_size != named.size:
                return Fault(named.path, f"has {count_of(status.st_size, 'byte')}, {named.by} says {named.size}"), 0
            chunk, last = b"", 0
            for chunk in read_sparingly(file.fileno(), status.st_size):
                digest.update(chunk)
                if last:
                    on_progress(0, last)
                last = len(chunk)
            on_progress(1, last)
            # A small file that was read in one piece is not read once more.
            content = BytesIO(chunk) if last == status.st_size else BufferedReader(file)
            wrong = _look_into(named, content, status, digest.hexdigest())
    except OSError as error:
        return Fault(named.path, f"named by {named.by}: {explain_os_error(error)}"), 0
    return (Fault(named.path, wrong) if wrong is not None else None), status.st_size


def _look_into(named: Named, content: BinaryIO, status: os.stat_result, sha256: str) -> str | None:
    """Return what is wrong with a file that was read to its end, or None.

    Args:
        named: The file, and what its index says about it.
        content: What was read, once more.
        status: That of the file.
        sha256: Its SHA-256.
    """
    if sha256 != named.sha256:
        return f"has SHA-256 {sha256}, {named.by} says {named.sha256}"
    if not status.st_mode & stat.S_IROTH:
        return "is not readable for a web server; its mode should be 0644"
    wrong = named.look() if named.look is not None else None
    return named.read(content) if wrong is None and named.read is not None else wrong
