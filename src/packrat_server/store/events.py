"""Keeps the record of what happened: who changed what, when, why, and what was there before and after.

1. An event is written in the transaction that makes the change: there is no change without its event, and no event of a
   change that was rolled back.
2. Events are only added. Undoing a change adds another event; triggers of the database refuse to change or remove one.
3. Nothing waits for events. Mirrors are woken by the journal (journal.py), whose old rows go.

Usage:

    with writing(engine) as connection:
        ...tag a package file...
        add_event(connection, author, file_event("tag", row, before={"tags": []}, after={"tags": ["dev"]}))
    with reading(engine) as connection:
        for event in read_events(connection, EventFilter(package="hello"), after=0, count=100):
            ...
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from packrat_server.store.tables import events
from packrat_server.store.text import write_moment

_AT_ONCE = 1000
# Built once: to build it takes longer than to run it.
_ADD = insert(events)

State = Mapping[str, Any] | None
"""The fields that a change is about, with their values; None where the object does not exist."""


class Via(StrEnum):
    """The way a change was asked for: a call of the API, a command on the data directory, or the server itself."""

    API = "api"
    COMMAND = "command"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change, and the reason.

    Attributes:
        name: The user of the API, or the account that runs a command.
        via: How the change was asked for.
        reason: What the author gave as the reason; empty where nothing.
    """

    name: str
    via: Via = Via.API
    reason: str = ""


SERVER = Author("packrat-server", Via.SERVER)


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one object.

    Attributes:
        action: The action of the API or the command: `tag`, `set`.
        model: The model of the object: `Package/PackageFile`.
        object_id: The id of the object.
        before: What the change is about, before it.
        after: The same afterwards.
        package: The package that the object belongs to; empty where there is none.
        file_name: The name of the package file; empty for other objects.
        change_control_id: What permitted the change; empty where nothing was given.
    """

    action: str
    model: str
    object_id: str
    before: State
    after: State
    package: str = ""
    file_name: str = ""
    change_control_id: str = ""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are asked for; None does not matter."""

    package: str | None = None
    file_name: str | None = None
    file_id: str | None = None


def file_event(action: str, row: Row[Any], before: State, after: State, change_control_id: str = "") -> Event:
    """Describe a change of a package file.

    Args:
        action: The action of the API.
        row: The package file, of table package_files.
        before: What the change is about, before it.
        after: The same afterwards.
        change_control_id: What permitted the change.
    """
    return Event(
        action, "Package/PackageFile", str(row.id), before, after, row.package, row.file_name, change_control_id
    )


def add_event(connection: Connection, author: Author, event: Event) -> None:
    """Add an event.

    Args:
        connection: The transaction that makes the change.
        author: Who makes it, and why.
        event: The change.
    """
    row = {
        "at": datetime.now(UTC),
        "by": author.name,
        "via": author.via,
        "action": event.action,
        "model": event.model,
        "object": event.object_id,
        "package": event.package or None,
        "file_name": event.file_name or None,
        "change_control_id": event.change_control_id or None,
        "reason": author.reason or None,
        "before": _write(event.before),
        "after": _write(event.after),
    }
    connection.execute(_ADD, row)


def read_events(connection: Connection, wanted: EventFilter, after: int, count: int) -> list[dict[str, Any]]:
    """Read events, the oldest first, as the API and the export show them.

    Args:
        connection: An open transaction.
        wanted: Which events.
        after: Only those with a higher id.
        count: The largest number of events.
    """
    query = select(events).where(events.c.id > after)
    if wanted.package is not None:
        query = query.where(events.c.package == wanted.package)
    if wanted.file_name is not None:
        query = query.where(events.c.file_name == wanted.file_name)
    if wanted.file_id is not None:
        query = query.where(events.c.model == "Package/PackageFile", events.c.object == wanted.file_id)
    return [_show(row) for row in connection.execute(query.order_by(events.c.id).limit(count)).all()]


def all_events(connection: Connection, after: int) -> Iterator[dict[str, Any]]:
    """Read all events after an id, the oldest first, in little memory."""
    while found := read_events(connection, EventFilter(), after, _AT_ONCE):
        yield from found
        after = found[-1]["id"]


def _write(state: State) -> str | None:
    return None if state is None else json.dumps(state, ensure_ascii=False, sort_keys=True)


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": write_moment(row.at),
        "by": row.by,
        "via": row.via,
        "action": row.action,
        "model": row.model,
        "object": row.object,
        "package": row.package,
        "file_name": row.file_name,
        "change_control_id": row.change_control_id,
        "reason": row.reason,
        "before": None if row.before is None else json.loads(row.before),
        "after": None if row.after is None else json.loads(row.after),
    }
