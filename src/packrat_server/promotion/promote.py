"""Promotes package files through tags, marks them as failed or deprecated, and undoes each of these.

Each function checks the rules (rules.py), and writes the change and its event inside the transaction that it is given.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from packrat_server.promotion.rules import MARKING, MARKS, FileState, Mark, TagRule, check_mark, check_tag, check_untag
from packrat_server.store.events import Author, add_event, file_event
from packrat_server.store.journal import note_file
from packrat_server.store.tables import package_file_tags, package_files, required_tags, tags

# Built once: to build one takes longer than to run it.
_FILE = select(package_files).where(package_files.c.id == bindparam("file"))
_TAGS = select(package_file_tags.c.tag).where(package_file_tags.c.package_file == bindparam("file"))
_REQUIRED = (
    select(required_tags.c.required).where(required_tags.c.tag == bindparam("name")).order_by(required_tags.c.required)
)
_DEPENDENT = (
    select(required_tags.c.tag).where(required_tags.c.required == bindparam("name")).order_by(required_tags.c.tag)
)
_NEEDS_CHANGE_CONTROL = select(tags.c.change_control_required).where(tags.c.name == bindparam("name"))
_TAG = insert(package_file_tags)
_UNTAG = delete(package_file_tags).where(
    package_file_tags.c.package_file == bindparam("file"), package_file_tags.c.tag == bindparam("name")
)
_SET_UPDATED = update(package_files).where(package_files.c.id == bindparam("file")).values(updated=bindparam("now"))


def tag_file(connection: Connection, file_id: int, tag: str, change_control_id: str | None, author: Author) -> None:
    """Promote a file to a tag.

    Args:
        connection: A writing transaction.
        file_id: The package file.
        tag: The name of the tag.
        change_control_id: What permits the change, where the tag needs that.
        author: Who promotes it, and why.

    Raises:
        Rejected: A rule forbids it.
    """
    row = _read_file(connection, file_id)
    state = _read_state(connection, row)
    check_tag(state, _read_rule(connection, tag), change_control_id)
    given = change_control_id or None
    tagged = {"package_file": file_id, "tag": tag, "by": author.name, "at": datetime.now(UTC)}
    connection.execute(_TAG, {**tagged, "change_control_id": given})
    _set_updated(connection, file_id)
    before, after = _tags(state.tags), _tags(state.tags | {tag})
    add_event(connection, author, file_event("tag", row, before, after, given or ""))
    note_file(connection, file_id, [tag])


def untag_file(connection: Connection, file_id: int, tag: str, author: Author) -> None:
    """Take a tag off a file.

    Args:
        connection: A writing transaction.
        file_id: The package file.
        tag: The name of the tag.
        author: Who takes it off, and why.

    Raises:
        Rejected: The file does not have it, or has another tag that requires it.
    """
    dependents = connection.execute(_DEPENDENT, {"name": tag}).scalars()
    # Read to the end before a rule may refuse: the refusal would keep the open cursor, and with it SQLite keeps the old
    # view of the database on this connection, for the requests that get the connection next.
    dependent_tags = dependents.all()
    row = _read_file(connection, file_id)
    state = _read_state(connection, row)
    check_untag(state, tag, dependent_tags)
    note_file(connection, file_id, [tag])
    connection.execute(_UNTAG, {"file": file_id, "name": tag})
    _set_updated(connection, file_id)
    add_event(connection, author, file_event("untag", row, _tags(state.tags), _tags(state.tags - {tag})))


def mark_file(connection: Connection, file_id: int, mark: Mark, author: Author) -> None:
    """Mark a file as failed or deprecated; a mark that it has already keeps its date and name.

    Args:
        connection: A writing transaction.
        file_id: The package file.
        mark: The mark.
        author: Who marks it, and why.

    Raises:
        Rejected: The file has the other mark.
    """
    row = _read_file(connection, file_id)
    state = _read_state(connection, row)
    if mark in state.marks:
        return
    check_mark(state, mark)
    _set_mark(connection, row, mark, datetime.now(UTC), author)


def unmark_file(connection: Connection, file_id: int, mark: Mark, author: Author) -> None:
    """Take a mark off a file; one that it does not have makes no change.

    Args:
        connection: A writing transaction.
        file_id: The package file.
        mark: The mark.
        author: Who takes it off, and why.
    """
    row = _read_file(connection, file_id)
    if mark in _read_state(connection, row).marks:
        _set_mark(connection, row, mark, None, author)


def _read_file(connection: Connection, file_id: int) -> Row[Any]:
    return connection.execute(_FILE, {"file": file_id}).one()


def _read_state(connection: Connection, row: Row[Any]) -> FileState:
    names = connection.execute(_TAGS, {"file": row.id})
    return FileState(
        tuple(mark for mark in MARKS if getattr(row, f"{mark}_at") is not None), frozenset(names.scalars().all())
    )


def _read_rule(connection: Connection, tag: str) -> TagRule:
    required = connection.execute(_REQUIRED, {"name": tag}).scalars()
    needs_change_control = connection.execute(_NEEDS_CHANGE_CONTROL, {"name": tag}).scalar()
    return TagRule(tag, tuple(required.all()), bool(needs_change_control))


def _set_mark(connection: Connection, row: Row[Any], mark: Mark, at: datetime | None, author: Author) -> None:
    """Set a mark with its date, or take it off where the date is None."""
    values = {f"{mark}_at": at, f"{mark}_by": None if at is None else author.name}
    connection.execute(update(package_files).where(package_files.c.id == row.id).values(values))
    _set_updated(connection, row.id)
    note_file(connection, row.id)
    before = {f"{mark}_by": getattr(row, f"{mark}_by")}
    after = {f"{mark}_by": values[f"{mark}_by"]}
    add_event(connection, author, file_event(MARKING[mark] if at else f"un{MARKING[mark]}", row, before, after))


def _tags(names: frozenset[str]) -> dict[str, list[str]]:
    return {"tags": sorted(names)}


def _set_updated(connection: Connection, file_id: int) -> None:
    connection.execute(_SET_UPDATED, {"file": file_id, "now": datetime.now(UTC)})
