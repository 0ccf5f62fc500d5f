"""Collects what the mirror has published, to tell the server with the next heartbeat.

1. A repository is reported with the position that the agent had heard of when it began to ask: its index has everything
   up to there.
2. So nothing may be left out. A sync of some packages says nothing of the others: it is reported only where a sync of
   the whole repository on this connection left nothing out, and no sync has had a fault since. Faults are errors, files
   that failed or can't be in an index, records that can't be used, and changes that are held back.
3. Syncs may end in another order than they began in: of each repository the newest position counts, and the digest of
   the last report. A report that could not be sent goes with the next heartbeat.
4. A report is a heartbeat, too, so it costs the server no further request.
5. A server that refuses a report gets none before the agent has logged in again.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from packrat_agent.model.changes import Changes, Position
from packrat_agent.model.records import Repo
from packrat_agent.upstream.login import Login
from packrat_agent.upstream.records import REPO
from packrat_core.cinp.refusals import LoginRefused
from packrat_core.errors import ServerRefused

log = structlog.get_logger()

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Published:
    """One repository as it is published.

    Attributes:
        repo: The name of the repository.
        position: The position of the server up to which everything is published.
        digest: The SHA-256 of its index files.
    """

    repo: str
    position: Position
    digest: str

    def write(self) -> dict[str, str]:
        """Write the report as the server takes it."""
        return {"repo": f"{REPO}:{self.repo}:", "position": self.position.text, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Begun:
    """A sync that has begun: its repository as the server described it, and how many of its syncs had faults before."""

    repo: Repo
    faults: int


class Reports:
    """Reports that the server has not got yet, and those that it may get; for one connection."""

    def __init__(self, login: Login) -> None:
        """Take the session; its state outlives the connection, and knows what the log has of a refusal already."""
        self._login = login
        self._is_offered = False
        self._refused_in: int | None = None
        self._heard: Position | None = None
        self._pending: dict[str, Published] = {}
        self._reached: dict[str, Position] = {}
        self._whole: dict[str, Repo] = {}
        self._faults: Counter[str] = Counter()

    def offer(self, *, is_offered: bool) -> None:
        """Note whether the server has the call that takes reports."""
        self._is_offered = is_offered

    @property
    def is_taken(self) -> bool:
        """Whether the server takes reports, as far as it is known."""
        return self._is_offered and self._refused_in != self._login.generation

    @property
    def position(self) -> Position | None:
        """The server's position that was heard of last; None before the first one, or if no reports are taken."""
        return self._heard if self.is_taken else None

    def hear(self, text: str | None) -> None:
        """Note the server's position as it is now, if it has one."""
        if text is not None and (self._heard is None or self._heard.text != text):
            self._heard = Position(text, self._heard.number + 1 if self._heard else 0)

    async def find_position(self, ask: Callable[[None, int], Awaitable[Changes]]) -> Position | None:
        """The server's position as far as it was heard of, or as it is now; None where it takes no reports.

        Args:
            ask: Asks for changes since a position, which tells the present one.
        """
        if self.is_taken and self._heard is None:
            self.hear((await ask(None, 0)).position)
        return self.position

    def begin(self, repo: Repo) -> Begun:
        """Note the state of a repository before a sync of it."""
        return Begun(repo, self._faults[repo.name])

    def note_fault(self, repo: str) -> None:
        """Note that a sync of a repository left something out."""
        self._faults[repo] += 1
        self._reached.pop(repo, None)
        self.doubt(repo)

    def doubt(self, repo: str) -> None:
        """Note that a sync of the whole repository, which is under way or to come, has to end before it is reported."""
        self._whole.pop(repo, None)

    def note_whole(self, begun: Begun) -> None:
        """Note that a sync of a whole repository left nothing out, unless another one has had a fault since then."""
        if self._faults[begun.repo.name] == begun.faults:
            self._whole[begun.repo.name] = begun.repo

    def is_whole(self, repo: Repo) -> bool:
        """Whether all of a repository was synced, as its record is now, and nothing was left out since."""
        return self._whole.get(repo.name) == repo

    def reach(self, repo: str, position: Position) -> None:
        """Note that what was heard of a repository up to a position is published; changes not heard of may not be."""
        self._reached[repo] = max(position, self._reached.get(repo, position), key=lambda heard: heard.number)

    def add(self, repo: Repo, digest: str) -> None:
        """Report a repository that is whole, with the newest position that it has reached."""
        if self.is_whole(repo) and repo.name in self._reached:
            self._pending[repo.name] = Published(repo.name, self._reached[repo.name], digest)

    async def tell(self, send: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> bool:
        """Send the reports that are pending; gives whether the server took any.

        Args:
            send: Sends the arguments of a call.

        Raises:
            ServerUnavailable: The server can't be reached.
            LoginRefused: It refuses the login.
        """
        sent = False
        while self.is_taken and self._pending:
            some = tuple(self._pending.values())[:_AT_ONCE]
            try:
                await send({"published": [published.write() for published in some]})
            except LoginRefused:
                raise
            except ServerRefused as error:
                # Such as a mirror that is read without a login: it is alive, and reports nothing.
                self._take_refusal(error)
                return sent
            sent, self._login.state.reports_refused = True, False
            for published in some:
                if self._pending.get(published.repo) is published:
                    del self._pending[published.repo]
        return sent

    def _take_refusal(self, error: ServerRefused) -> None:
        # The session may be another one than at the start of the request.
        self._refused_in = self._login.generation
        # What is published when reports are taken again is reported then.
        self._pending.clear()
        if not self._login.state.reports_refused:
            self._login.state.reports_refused = True
            log.warning("unreported", reason=str(error), text="the server is not told what the mirror has published")
