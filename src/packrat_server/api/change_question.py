"""The question of a mirror to `changes`, and the answer that the database has."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from packrat_server.api.call import Call, read
from packrat_server.api.change_batch import frame
from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.api.changed_records import (
    FILES_LIMIT,
    PACKAGES_LIMIT,
    RepoRecords,
    read_repo_records,
    within_limits,
)
from packrat_server.api.description import uri
from packrat_server.store.journal import ChangesSince, Touched, read_since, read_touched


@dataclass(frozen=True, slots=True)
class Found:
    """The changes since a position, as they were found, and as the mirror gets them."""

    since: ChangesSince
    answer: dict[str, Any]

    def line(self) -> bytes:
        """Write the answer as a line of a stream, in the form in which it goes over the connection."""
        return frame(json.dumps(self.answer).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Question:
    """A mirror's question.

    Attributes:
        call: The call of the action.
        mirror: The name of the mirror.
        with_records: Whether it wants the records of the changed packages.
        only_touched: Whether it wants of these only the files that changed.
    """

    call: Call
    mirror: str
    with_records: bool
    only_touched: bool

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
        answer: dict[str, Any] = {"position": str(since.newest), "changes": _name_changes(self.mirror, since)}
        if self.with_records:
            # Where the mirror's own record changed, it must view that first.
            answer["records"] = {} if since.mirror else self._read_records(connection, since)
        return Found(since, answer)

    def _read_records(self, connection: Connection, since: ChangesSince) -> dict[str, Any]:
        caller, found = self.call.caller, dict[str, RepoRecords | None]()
        for repo, names in since.repos.items():
            if not names or len(names) > PACKAGES_LIMIT:
                continue
            packages: Touched | None = None
            if self.only_touched and since.after is not None:
                packages = read_touched(connection, repo, since.after, FILES_LIMIT)
            packages = packages or dict.fromkeys(names)
            found[repo] = read_repo_records(connection, caller, repo, packages, only_touched=self.only_touched)
        return within_limits(found)


def _name_changes(mirror: str, since: ChangesSince) -> dict[str, list[str] | None]:
    changed: dict[str, list[str] | None] = {
        uri("Repo/Repo", name): None if names is None else sorted(names) for name, names in since.repos.items()
    }
    if since.mirror:
        changed[uri("Repo/Mirror", mirror)] = None
    return changed
