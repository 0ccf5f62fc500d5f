"""What an audit of a tree says: what is named by whom, and what is wrong.

Takes: nothing.
Gives: values; reading files of a tree without following links out of it.
Touches: the files that it is asked to read.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_INDEX_LIMIT = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Named:
    """One file that an index names; paths are relative to the tree's top. `size` None where the index does not say."""

    path: str
    sha256: str
    size: int | None
    by: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `path` is relative to the tree's top."""

    path: str
    what: str


Finding = Named | Fault
"""What an audit of one repository gives, one after the other."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A tree under audit: its top, and how signatures are verified (None where no key is known).

    verify: (signed file, detached signature or None for one inside) → what is wrong, or None.
    """

    top: Path
    verify: Callable[[Path, Path | None], str | None] | None


Auditor = Callable[[Subject, str], Iterator[Finding]]
"""Audits the repository in a directory (relative to the tree's top) of one type."""


def read_index(top: Path, path: str) -> bytes:
    """Read an index file.

    Raises: OSError where it is missing, a link, no regular file, or larger than any index.
    """
    descriptor = os.open(top / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _INDEX_LIMIT:
        os.close(descriptor)
        raise OSError(f"{path} is no index file")
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def pointer(path: str, content: bytes) -> Named:
    """Name a pointer, which nothing else names, by what was just read of it: its place and mode are to be checked."""
    return Named(path, hashlib.sha256(content).hexdigest(), len(content), "itself")


def told(error: OSError) -> str:
    """Tell why a file can't be read."""
    return error.strerror or str(error)
