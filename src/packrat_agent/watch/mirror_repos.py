"""The repositories of the mirror as the running agent knows them, and which of them may be worked on."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from packrat_agent.model.changes import Confirmed
from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.known_repos import ask_mirror, keep_repos
from packrat_agent.sync.landing.site import keep_site
from packrat_agent.upstream.client import Packrat
from packrat_agent.watch.work_queue import WorkQueue
from packrat_agent.watch.workers import Workers
from packrat_core.aio.threads import in_thread


class MirrorRepos(Mapping[str, Repo]):
    """Maps the name of each repository to its record; new and changed ones go into the work queue."""

    def __init__(self, context: MirrorContext, queue: WorkQueue, workers: Workers) -> None:
        self._context = context
        self._queue = queue
        self._workers = workers
        self._repos: dict[str, Repo] = {}
        self.blocked: frozenset[str] = frozenset()
        """Repositories whose records are being changed; nobody starts to work on them."""
        self.read: set[str] = set()
        """Repositories whose package files were all read once, and whose records are trusted since."""

    def __getitem__(self, name: str) -> Repo:
        return self._repos[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._repos)

    def __len__(self) -> int:
        return len(self._repos)

    def note_start(self) -> None:
        """Count those as read whose records an earlier process read."""
        reads, published = self._context.store.record_reads, self._context.store.live.published_repos()
        self.read.update(name for name in published if not reads.unread(name, time.time()))

    def read_all_again(self) -> None:
        """Have all records read again, since they are distrusted."""
        self.read.clear()
        self._queue.add_due(self._repos)

    async def ask(self, server: Packrat, confirmed: Confirmed) -> None:
        """Look at the mirror's own record, which may have changed.

        Raises:
            PackratError: The server doesn't answer, or the disk fails; the record is looked at again.
        """
        try:
            view = await ask_mirror(self._context, server, confirmed)

            async def keep() -> None:
                async with self._context.turns.publishing:
                    await in_thread(keep_repos, self._context, view, confirmed)

            await self.take(view, keep)
        except BaseException:
            self._queue.add({}, mirror=True)
            raise

    async def take(self, view: MirrorView, keep: Callable[[], Awaitable[None]]) -> None:
        """Queue the repositories that are new or changed, and show on the site which there are.

        Args:
            view: The mirror as the server describes it.
            keep: Writes it down. No worker works on a repository that it forgets or changes.

        Raises:
            PackratError: The disk fails.
        """
        repos = {repo.name: repo for repo in view.repos}
        changed = [name for name, repo in repos.items() if self._repos.get(name) != repo]
        self.blocked = frozenset(changed) | (self._repos.keys() - repos.keys())
        try:
            await self._workers.stop(self.blocked)
            await keep()
            async with self._context.turns.publishing:
                await in_thread(keep_site, self._context)
            self._repos = repos
            self._queue.add(dict.fromkeys(changed))
        finally:
            self.blocked = frozenset()
            self._queue.wake()
