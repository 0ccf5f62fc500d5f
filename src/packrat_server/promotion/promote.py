"""Promotes package files through tags, marks them as failed or deprocated, and undoes each of these.

Each function checks the rules (rules.py) and writes inside the transaction that it is given.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, update

from packrat_server.promotion.rules import MARKS, FileState, Mark, TagRule, check_mark, check_tag, check_untag
from packrat_server.store.journal import note_file
from packrat_server.store.tables import package_file_tags, package_files, required_tags, tags


def tag_file(connection: Connection, file_id: int, tag: str, change_control_id: str | None, by: str) -> None:
    """Promote a file to a tag.

    Args:
        connection: A writing transaction.
        file_id: The package file.
        tag: The name of the tag.
        change_control_id: What permits the change, where the tag needs that.
        by: The name of the user who promotes.

    Raises:
        Rejected: A rule forbids it.
    """
    check_tag(_read_state(connection, file_id), _read_rule(connection, tag), change_control_id)
    connection.execute(
        insert(package_file_tags).values(
            package_file=file_id, tag=tag, by=by, at=datetime.now(UTC), change_control_id=change_control_id or None
        )
    )
    _set_updated(connection, file_id)
    note_file(connection, file_id, [tag])


def untag_file(connection: Connection, file_id: int, tag: str) -> None:
    """Take a tag off a file.

    Raises:
        Rejected: The file does not have it, or has another tag that requires it.
    """
    dependents = connection.execute(
        select(required_tags.c.tag).where(required_tags.c.required == tag).order_by(required_tags.c.tag)
    ).scalars()
    # Read to the end before a rule may refuse: the refusal would keep the open cursor, and with it SQLite keeps the old
    # view of the database on this connection, for the requests that get the connection next.
    dependent_tags = dependents.all()
    check_untag(_read_state(connection, file_id), tag, dependent_tags)
    note_file(connection, file_id, [tag])
    connection.execute(
        delete(package_file_tags).where(package_file_tags.c.package_file == file_id, package_file_tags.c.tag == tag)
    )
    _set_updated(connection, file_id)


def mark_file(connection: Connection, file_id: int, mark: Mark, by: str) -> None:
    """Mark a file as failed or deprocated; a mark that it has already keeps its date and name.

    Args:
        connection: A writing transaction.
        file_id: The package file.
        mark: The mark.
        by: The name of the user who marks it.

    Raises:
        Rejected: The file has the other mark.
    """
    state = _read_state(connection, file_id)
    if mark in state.marks:
        return
    check_mark(state, mark)
    _set_mark(connection, file_id, mark, datetime.now(UTC), by)


def unmark_file(connection: Connection, file_id: int, mark: Mark) -> None:
    """Take a mark off a file; one that it does not have makes no change."""
    if mark in _read_state(connection, file_id).marks:
        _set_mark(connection, file_id, mark, None, None)


def _read_state(connection: Connection, file_id: int) -> FileState:
    row = connection.execute(select(package_files).where(package_files.c.id == file_id)).one()
    names = connection.execute(select(package_file_tags.c.tag).where(package_file_tags.c.package_file == file_id))
    return FileState(
        tuple(mark for mark in MARKS if getattr(row, f"{mark}_at") is not None), frozenset(names.scalars().all())
    )


def _read_rule(connection: Connection, tag: str) -> TagRule:
    required = connection.execute(
        select(required_tags.c.required).where(required_tags.c.tag == tag).order_by(required_tags.c.required)
    ).scalars()
    needs_change_control = connection.execute(select(tags.c.change_control_required).where(tags.c.name == tag)).scalar()
    return TagRule(tag, tuple(required.all()), bool(needs_change_control))


def _set_mark(connection: Connection, file_id: int, mark: Mark, at: datetime | None, by: str | None) -> None:
    values = {f"{mark}_at": at, f"{mark}_by": by}
    connection.execute(update(package_files).where(package_files.c.id == file_id).values(values))
    _set_updated(connection, file_id)
    note_file(connection, file_id)


def _set_updated(connection: Connection, file_id: int) -> None:
    connection.execute(update(package_files).where(package_files.c.id == file_id).values(updated=datetime.now(UTC)))
