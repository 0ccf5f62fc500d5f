"""Compares the stored files with the records at the server's start, and tells what a restored backup has left apart.

1. A file that records name and that is not there is told: nobody can download it until it is restored or uploaded.
2. A file that no record names goes a day later (housekeeping.py). After an older backup of the database was restored,
   these are what was uploaded since, so this is told before they go.
"""

import time
from collections.abc import Set as AbstractSet
from pathlib import Path

import structlog
from sqlalchemy import Engine, select

from packrat_server.store.blobs import blob_in, find_size, list_stored
from packrat_server.store.database import reading, writing
from packrat_server.store.orphans import note_unnamed
from packrat_server.store.tables import package_files

log = structlog.get_logger()

_NAMES_TOLD = 20


def compare_files(engine: Engine, data_dir: Path, named: AbstractSet[str]) -> None:
    """Note the files that no record names, and tell of them and of those that are missing.

    Args:
        engine: The database.
        data_dir: The server's data directory, which no other server uses at this time.
        named: The SHA-256 of all files that records name.
    """
    top = str(data_dir)

    def is_there(sha256: str) -> bool:
        return find_size(blob_in(top, sha256)) is not None

    # Only those are looked at that are of interest: on a network disk, each takes a while.
    stored = set(list_stored(data_dir))
    missing = {sha256 for sha256 in named - stored if not is_there(sha256)}
    with writing(engine) as connection:
        unnamed = note_unnamed(connection, set(filter(is_there, stored - named)), time.time())
    if unnamed:
        log.info(
            "files-unnamed",
            files=unnamed,
            text="no record names them, and they go in a day: if an older backup of the database was restored, upload "
            "again what came after it",
        )
    if missing:
        _tell_missing(engine, missing)


def _tell_missing(engine: Engine, missing: AbstractSet[str]) -> None:
    with reading(engine) as connection:
        rows = connection.execute(select(package_files.c.file_name, package_files.c.sha256).order_by("id"))
        names = list(dict.fromkeys(name for name, sha256 in rows if sha256 in missing))
    # The others are uploads that nobody made a package file of.
    if names:
        log.warning(
            "files-missing",
            files=len(names),
            names=", ".join(names[:_NAMES_TOLD]),
            text="records name them, and they are not in the data directory: mount its disk, restore them from a "
            "backup, or upload them again; nobody can download them until then",
        )
