"""Hears what changes on a server that has only `poll`, which forgets what changes between two polls.

1. A poll holds one of the server's few workers, so at most two are open, over the repositories in random order.
2. What polls miss is found by listing each repository every few seconds: a list that differs from the one before
   is news. A listing costs the server little; where it takes long all the same, the next one comes later.
3. While the agent gives the server bulk work, no poll is opened, so that the server has workers left for others: the
   listings tell what changes. At the start it is not known yet whether there is bulk work, so polls begin later.
4. After a failure it waits longer each time; several in a row end it.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.news import News, Pace
from packrat_core.backoff import between
from packrat_core.cinp.listing import Fingerprint, Sink
from packrat_core.cinp.refusals import LoginRefused, NotFound
from packrat_core.errors import PackratError, ServerRefused, ServerUnavailable

_POLLS_AT_ONCE = 2
_TROUBLE_LIMIT = 3
_LIST_RESTS = 3
"""A repository is not listed again for this multiple of the time that its listing took."""


async def hear_polls(
    server: Packrat, repos: Callable[[], Collection[Repo]], tell: Callable[[News], None], pace: Pace
) -> None:
    """Tell what polls and listings show, until cancelled.

    Args:
        server: The server to ask.
        repos: Gives the repositories as they are now; called again and again.
        tell: Called with each piece of news.
        pace: How long to wait for what.

    Raises:
        PackratError: The server can't be asked any more.
    """
    polls = _Polls(server, repos, tell, pace)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(polls.watch())
            for number in range(_POLLS_AT_ONCE):
                group.create_task(polls.hear(number))
    except* PackratError as errors:
        raise _first(errors) from None


@dataclass(slots=True)
class _Polls:
    """The state of the polls and listings of one connection."""

    server: Packrat
    repos: Callable[[], Collection[Repo]]
    tell: Callable[[News], None]
    pace: Pace
    _round: list[str] = field(default_factory=list)
    _polled: set[str] = field(default_factory=set)
    _due: dict[str, float] = field(default_factory=dict)
    _listed: dict[str, tuple[int, int]] = field(default_factory=dict)
    _sooner: asyncio.Event = field(default_factory=asyncio.Event)
    _trouble: int = 0
    _hasty: int = 0
    _strained_until: float = 0.0

    async def hear(self, number: int) -> None:
        """Poll the repositories in turn; `number` is 0 for the hearer that goes on even when the server is strained.

        Raises:
            PackratError: Several polls in a row failed.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.pace.first_poll_s)
        while True:
            if self.server.is_busy:
                await asyncio.sleep(between(*self.pace.echo_s))
                continue
            if number > 0 and loop.time() < self._strained_until:
                await asyncio.sleep(min(1.0, self._strained_until - loop.time()))
                continue
            repo = self._next()
            if repo is None:
                await asyncio.sleep(between(*self.pace.echo_s))
                continue
            self._polled.add(repo.name)
            try:
                wait_s = await self._poll(repo)
            finally:
                self._polled.discard(repo.name)
            await asyncio.sleep(wait_s)

    def _next(self) -> Repo | None:
        present = {repo.name: repo for repo in self.repos()}
        if not self._round:
            self._round = [name for name in present if name not in self._polled]
            random.shuffle(self._round)
        while self._round:
            name = self._round.pop()
            if name in present and name not in self._polled:
                return present[name]
        return None

    async def _poll(self, repo: Repo) -> float:
        """Poll once and tell the news; gives the seconds to wait before the next poll."""
        loop = asyncio.get_running_loop()
        timeout_s = random.randint(*self.pace.poll_s)  # noqa: S311 jitter
        asked = loop.time()
        try:
            names = await self.server.poll(repo, timeout_s)
        except LoginRefused:
            raise
        except NotFound:
            # Taken off the server, or renamed.
            self.tell(News({}, mirror=True))
            return self.pace.back_off.delay_s(2)
        except PackratError as error:
            return self._count_failure(error)
        self._note_recovery()
        took_s = loop.time() - asked
        if took_s > timeout_s + self.pace.late_s:
            # It waited behind other polls for a worker: leave more workers free.
            self._strained_until = loop.time() + self.pace.strained_s
        if names:
            # A poll tells one name of a burst, and it may be another repository's. That name is all that can be synced
            # while a full sync still reads all of the repository.
            self._hasty = 0
            others = {other.name: names for other in self.repos() if other.name != repo.name}
            self.tell(News({repo.name: names}))
            self.tell(News({**others, repo.name: None}))
            self._list_soon(repo.name)
            return between(*self.pace.rest_s)
        if took_s < timeout_s / 2:
            # Nothing, at once, is the sign of a server without its database.
            self._hasty += 1
            return self.pace.back_off.delay_s(self._hasty)
        self._hasty = 0
        # The listing comes when the next poll is open, so that what happens between the two is in it.
        self._list_soon(repo.name)
        return 0.0

    def _list_soon(self, name: str) -> None:
        at = asyncio.get_running_loop().time() + between(*self.pace.echo_s)
        if at < self._due.get(name, at + 1):
            self._due[name] = at
            self._sooner.set()

    async def watch(self) -> None:
        """List each repository when it is due, and tell whose list has changed, and to look at the mirror, too.

        Raises:
            PackratError: Several listings in a row failed.
        """
        loop = asyncio.get_running_loop()
        self.tell(News({repo.name: None for repo in self.repos()}, mirror=True))
        mirror_due = loop.time() + between(*self.pace.mirror_s)
        while True:
            now = loop.time()
            if mirror_due <= now:
                mirror_due = now + between(*self.pace.mirror_s)
                self.tell(News({}, mirror=True))
            repos = {repo.name: repo for repo in self.repos()}
            self._due = {name: self._due.get(name, now) for name in repos}
            self._listed = {name: value for name, value in self._listed.items() if name in repos}
            period_s = min(max(len(repos) * self.pace.list_each_s, self.pace.list_s[0]), self.pace.list_s[1])
            for repo in [repos[name] for name, due in self._due.items() if due <= now]:
                first = repo.name not in self._listed
                # The first ones are spread, later ones keep their distance.
                self._due[repo.name] = loop.time() + period_s * between(0.3 if first else 0.75, 1.0)
                began = loop.time()
                await asyncio.sleep(await self._list(repo))
                rest_s = (loop.time() - began) * _LIST_RESTS
                self._due[repo.name] = max(self._due[repo.name], loop.time() + rest_s)
            self._sooner.clear()
            next_at = min([mirror_due, loop.time() + self.pace.list_s[0] / 3, *self._due.values()])
            try:
                async with asyncio.timeout_at(next_at):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    async def _list(self, repo: Repo) -> float:
        """List once and tell the news; gives the seconds to wait before anything else is listed."""
        try:
            fingerprint = Fingerprint()
            await self.server.list_wanted_into(Sink(fingerprint.clear, fingerprint.add), repo)
        except LoginRefused:
            raise
        except ServerRefused:
            # The original server calls the name of a repository that is gone an invalid value.
            self.tell(News({}, mirror=True))
            return self.pace.back_off.delay_s(1)
        except PackratError as error:
            return self._count_failure(error)
        self._note_recovery()
        # The first list is news too: what came before it, and after the last answer, is only in it.
        if self._listed.get(repo.name) != fingerprint.value:
            self._listed[repo.name] = fingerprint.value
            self.tell(News({repo.name: None}))
        return 0.0

    def _note_recovery(self) -> None:
        """Note that the server answers, and tell if it didn't before."""
        was_away, self._trouble = self._trouble > 0, 0
        if was_away:
            self.tell(News({repo.name: None for repo in self.repos()}, mirror=True, was_away=True))

    def _count_failure(self, error: PackratError) -> float:
        """Count a failure; gives the seconds to wait.

        Raises:
            PackratError: The error itself, after too many in a row.
        """
        self._trouble += 1
        if self._trouble >= _TROUBLE_LIMIT:
            raise error
        asked_s = error.wait_s if isinstance(error, ServerUnavailable) else 0.0
        return self.pace.back_off.delay_s(self._trouble, asked_s)


def _first(errors: BaseExceptionGroup[PackratError]) -> PackratError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
