"""Keeps the name of a deleted package file for its bytes: what was published under a name never has other bytes later.

1. The name of a file that is deleted belongs to the SHA-256 that it had. The same bytes may come back under it.
2. An administrator may free such a name. The next file that is deleted under it takes it again.
3. The record of what happened (store/events.py) knows both, since events are never removed.

Usage:

    belongs_to = find_deleted(connection, "hello_2.10-3_amd64.deb")
"""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from packrat_server.store.events import Author, Event, add_event
from packrat_server.store.tables import events

_MODEL = "Package/PackageFile"
_FREE = "free_name"


@dataclass(frozen=True, slots=True)
class DeletedFile:
    """The last file that was deleted under a name that nobody has freed since."""

    file_id: str
    package: str
    sha256: str


def find_deleted(connection: Connection, file_name: str) -> DeletedFile | None:
    """Find the deleted file that a name belongs to; None where the name is free, or was freed."""
    query = (
        select(events.c.action, events.c.object, events.c.package, events.c.before)
        .where(events.c.file_name == file_name, events.c.action.in_(("delete", _FREE)), events.c.model == _MODEL)
        .order_by(events.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None or row.action == _FREE:
        return None
    return DeletedFile(row.object, row.package, json.loads(row.before)["sha256"])


def free_name(connection: Connection, file_name: str, deleted: DeletedFile, author: Author) -> None:
    """Let a name be given to other bytes.

    Args:
        connection: A writing transaction.
        file_name: The name.
        deleted: The file that it belongs to.
        author: Who frees it, and why.
    """
    before = {"sha256": deleted.sha256}
    add_event(connection, author, Event(_FREE, _MODEL, deleted.file_id, before, None, deleted.package, file_name))
