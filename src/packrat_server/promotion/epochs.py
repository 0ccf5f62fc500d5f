"""Reads the epochs of rpms that an earlier version of the server stored without them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, select, update

from packrat_server.inspect_file import Unrecognized, inspect_rpm
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import reading, writing
from packrat_server.store.journal import note_file
from packrat_server.store.tables import package_files

log = structlog.get_logger()

_FILES_AT_ONCE = 1000


def read_epochs(engine: Engine, data_dir: Path) -> None:
    """Read the epochs that are missing.

    Each portion is committed, so that a server that is stopped in between goes on from there. A file that can't be read
    is treated as one without an epoch, and is read again at the next start.
    """
    after, known, unread = 0, 0, 0
    while rows := _missing(engine, after):
        after = rows[-1].id
        epochs = {row.id: epoch for row in rows if (epoch := _epoch(blob_path(data_dir, row.sha256))) is not None}
        with writing(engine) as connection:
            for file_id, epoch in epochs.items():
                connection.execute(update(package_files).where(package_files.c.id == file_id).values(epoch=epoch))
                if epoch:
                    # Another version may be the newest now, so mirrors must look again.
                    note_file(connection, file_id)
        known += len(epochs)
        unread += len(rows) - len(epochs)
    if known:
        log.info("epochs", files=known, text="the epochs of rpms are known now, for repositories with newest only")
    if unread:
        log.warning("epochs-unread", files=unread, text="rpms are missing or damaged in the data directory; restore it")


def _missing(engine: Engine, after: int) -> Sequence[Any]:
    query = (
        select(package_files.c.id, package_files.c.sha256)
        .where(package_files.c.type == "rpm", package_files.c.epoch.is_(None), package_files.c.id > after)
        .order_by(package_files.c.id)
        .limit(_FILES_AT_ONCE)
    )
    with reading(engine) as connection:
        return connection.execute(query).all()


def _epoch(path: Path) -> int | None:
    try:
        return inspect_rpm(path).epoch
    except (OSError, Unrecognized):
        return None
