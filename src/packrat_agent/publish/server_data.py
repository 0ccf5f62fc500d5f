"""Recognises the data directory of a packrat-server, whose packages and records exist nowhere else."""

import os
import stat
from collections.abc import Callable

DIRECTORIES = ("incoming", "files")
"""What every data directory of a server has."""
_RECORDS = ("packrat.db", "database")
"""The SQLite database, or the file that names a PostgreSQL database: a server has one of them."""


def is_server_data(path: str, above: int | None = None) -> bool:
    """Tell whether a packrat-server keeps its data in a directory that this user could clean up.

    Only directories of this user count, so that other users can't protect their files from this agent with the same
    names; for root, which could remove anybody's data, everybody's count.

    Args:
        path: The directory.
        above: The open directory that `path` is relative to, if it is.
    """
    if not all(_has(f"{path}/{name}", above, stat.S_ISDIR) for name in DIRECTORIES):
        return False
    return any(_has(f"{path}/{name}", above, stat.S_ISREG) for name in _RECORDS)


def _has(path: str, above: int | None, is_kind: Callable[[int], bool]) -> bool:
    try:
        status = os.stat(path, dir_fd=above, follow_symlinks=False)
    except OSError:
        return False
    return is_kind(status.st_mode) and os.geteuid() in (0, status.st_uid)
