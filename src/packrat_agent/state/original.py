"""Recognizes the state database of the original packrat agent, and makes room for ours."""

import sqlite3
from contextlib import closing
from pathlib import Path

from packrat_core.errors import DiskError

_TABLES = frozenset({"control", "repos", "files"})


def set_original_aside(path: Path) -> Path | None:
    """Rename the original agent's state database out of the way; gives its new path, or None if `path` is not one.

    What it remembers is not read: the files on disk are adopted by their hashes, in the places that both agents use.
    Raises:
        DiskError: It can't be renamed.
    """
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return None
    if not names >= _TABLES or "live_files" in names:
        return None
    aside = path.with_name(path.name + ".original")
    try:
        path.replace(aside)
    except OSError as error:
        raise DiskError(f"can't rename the original agent's {path} to {aside}: {error.strerror}") from error
    return aside
