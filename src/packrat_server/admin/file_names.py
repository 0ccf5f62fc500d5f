"""Frees the name of a deleted package file, so that other bytes may have it."""

from sqlalchemy import Connection, Engine, select

from packrat_core.errors import ConfigError
from packrat_server.admin.checks import shorten
from packrat_server.admin.record_change import APPROVED, Approval, RecordChange
from packrat_server.admin.submit_change import command_author
from packrat_server.promotion.file_names import find_deleted, free_name
from packrat_server.store.database import writing
from packrat_server.store.tables import package_files
from packrat_server.store.text import is_storable


def free_file_name(engine: Engine, name: str, approval: Approval = APPROVED) -> RecordChange:
    """Free the name of a deleted package file.

    Args:
        engine: The database.
        name: The name of the file.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed.

    Raises:
        ConfigError: No deleted file has the name, or a package file has it.
    """
    with writing(engine) as connection:
        deleted = find_deleted(connection, name) if is_storable(name) else None
        if deleted is None or _is_used(connection, name):
            used, hint = (
                "no deleted package file has it",
                "check the spelling; `packrat-server history NAME` tells of a file",
            )
            if deleted is not None:
                used, hint = "a package file has it", "give what has changed another version, and so another file name"
            raise ConfigError(f"file name {shorten(name)} can't be freed: {used}", hint=hint)
        change = RecordChange(
            {"belongs to": f"SHA-256 {deleted.sha256}"},
            {"belongs to": "nobody"},
            losses=(f"mirrors that have published {name} refuse other bytes under this name, and clients may, too",),
        )
        free_name(connection, name, deleted, command_author(approval.reason))
        approval.decide(change)
    return change


def _is_used(connection: Connection, name: str) -> bool:
    query = select(package_files.c.id).where(package_files.c.file_name == name).limit(1)
    return connection.execute(query).first() is not None
