"""Collects what the mirror has published, to tell the server with the next heartbeat.

1. A repository is reported with the position that the agent had heard of when it began to ask: its index has everything
   up to there. So a sync is not reported that left something out: files that failed, or can't be in an index.
2. Of each repository only the newest report counts. What the server could not be told is told with the next heartbeat.
3. A report is a heartbeat, too, so it costs the server no further request.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from packrat_agent.model.changes import Changes
from packrat_core.cinp.responses import LoginRefused
from packrat_core.errors import ServerRefused

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Published:
    """One repository as it is published.

    Attributes:
        repo: The URI of the repository.
        position: The position of the server up to which everything is published.
        digest: The SHA-256 of its index files.
    """

    repo: str
    position: str
    digest: str

    def write(self) -> dict[str, str]:
        """Write it as the server takes it."""
        return {"repo": self.repo, "position": self.position, "digest": self.digest}


class Reports:
    """What the server has not been told yet.

    Attributes:
        is_taken: Whether the server takes reports.
        position: The server's position that was heard of last; None before the first one.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Published] = {}
        self.is_taken = False
        self.position: str | None = None

    def add(self, published: Published) -> None:
        """Add a report, in place of an earlier one of the repository."""
        self._pending[published.repo] = published

    async def find_position(self, ask: Callable[[None, int], Awaitable[Changes]]) -> str | None:
        """The server's position as far as it was heard of, or as it is now; None where it takes no reports.

        Args:
            ask: Asks for changes since a position, which tells the present one.
        """
        if self.is_taken and self.position is None:
            self.position = (await ask(None, 0)).position
        return self.position if self.is_taken else None

    async def tell(self, send: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> bool:
        """Tell the server; gives whether something was told.

        Args:
            send: Sends the arguments of a call.

        Raises:
            ServerUnavailable: The server can't be reached.
            LoginRefused: It refuses the login.
        """
        told = False
        while self.is_taken and self._pending:
            some = tuple(self._pending.values())[:_AT_ONCE]
            try:
                await send({"published": [published.write() for published in some]})
            except LoginRefused:
                raise
            except ServerRefused:
                # Such as a mirror that is read without a login: it is alive, and reports nothing.
                self.is_taken = False
                return told
            told = True
            for published in some:
                if self._pending.get(published.repo) is published:
                    del self._pending[published.repo]
        return told
