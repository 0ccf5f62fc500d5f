"""What a mirror asks `changes`, and what the database says to it."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from packrat_server.api.call import Call, read
from packrat_server.api.change_batch import frame
from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.api.changed_records import read_changed_records
from packrat_server.api.description import uri
from packrat_server.store.journal import ChangesSince, read_since


@dataclass(frozen=True, slots=True)
class Found:
    """What changed since a position, as it was found, and as the mirror is told of it."""

    since: ChangesSince
    told: dict[str, Any]

    def line(self) -> bytes:
        """Write it as a line of a stream, in the form in which it goes over the connection."""
        return frame(json.dumps(self.told).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Question:
    """A mirror's question.

    Attributes:
        call: The call of the action.
        mirror: The name of the mirror.
        with_records: Whether it wants the records of the changed packages.
    """

    call: Call
    mirror: str
    with_records: bool

    @property
    def notifier(self) -> ChangeNotifier:
        """What tells of changes."""
        return self.call.context.notifier

    async def look(self, position: str) -> Found:
        """Look into the database for what changed since a position.

        Raises:
            CinpError: The session has ended.
        """
        before = self.notifier.newest_id
        found = await read(self.call, lambda connection: self._find(connection, position), is_look=True)
        self.notifier.compare(before, found.since.newest.id)
        return found

    def _find(self, connection: Connection, position: str) -> Found:
        since = read_since(connection, self.mirror, position)
        told: dict[str, Any] = {"position": str(since.newest), "changes": _name_changes(self.mirror, since)}
        if self.with_records:
            # Where the mirror's own record changed, it must view that first.
            told["records"] = {} if since.mirror else read_changed_records(connection, self.call.caller, since.repos)
        return Found(since, told)


def _name_changes(mirror: str, since: ChangesSince) -> dict[str, list[str] | None]:
    changed: dict[str, list[str] | None] = {
        uri("Repo/Repo", name): None if names is None else sorted(names) for name, names in since.repos.items()
    }
    if since.mirror:
        changed[uri("Repo/Mirror", mirror)] = None
    return changed
