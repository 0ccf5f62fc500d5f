"""Puts what an administrator changes on record, in the transaction that makes the change."""

from sqlalchemy import Connection

from packrat_server.admin.author import command_author
from packrat_server.admin.record_change import RecordChange
from packrat_server.store.events import Event, add_event


def note_change(
    connection: Connection, model: str, name: str, change: RecordChange, reason: str, action: str = ""
) -> None:
    """Add the event of a change; one that changes nothing has none.

    Args:
        connection: The transaction that makes the change.
        model: What was changed: `Repo/Repo`.
        name: Its name.
        change: The change.
        reason: Why; '' where nothing was given.
        action: The command; '' for `set`, or `remove` if there is nothing afterwards.
    """
    if change.before != change.after:
        done = action or ("remove" if change.after is None else "set")
        add_event(connection, command_author(reason), Event(done, model, name, change.before, change.after))
