"""Changes that are synced after a sync that failed, or found no last index, lose nothing and make nothing up."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.model.records import Repo
from packrat_agent.sync import build_repo
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_core.errors import DiskError
from packrat_demo.build_deb import Deb
from support.stage import Stage


@dataclass(slots=True)
class Agent:
    """An agent that has synced all of its only repository, and then does what it is told."""

    mirror: MirrorContext
    server: Packrat
    repo: Repo
    position: str | None

    async def sync_change(self, packages: Collection[str] | None = None) -> SyncResult:
        """Sync some packages; None: those that changed since the last question."""
        if packages is None:
            changes = await self.server.changes(self.position, 0)
            self.position, packages = changes.position, changes.repos[self.repo.name]
        return await sync_repo(self.repo, Order(packages), self.server, self.mirror, lambda files, size: None)


def full_disk(*_: object) -> None:
    raise DiskError("no space left", path="/srv")


def with_agent(lab: Stage, work: Callable[[Agent], Awaitable[None]]) -> None:
    async def run() -> None:
        with open_mirror(load(lab.config)) as mirror:
            async with connected(mirror.config) as server:
                position = (await server.changes(None, 0)).position
                await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
                [repo] = mirror.store.repos.all()
                await work(Agent(mirror, server, repo, position))

    asyncio.run(run())


def test_files_that_were_not_touched_are_not_reported_as_removed(lab: Stage) -> None:
    for version in ("1", "2"):
        lab.server.put_deb(Deb("many", version, "amd64"))

    async def work(agent: Agent) -> None:
        # As a file that could not be downloaded leaves it: the next change decides all of the repository again.
        agent.mirror.last_renders.drop(agent.repo.name)
        await asyncio.to_thread(lab.server.put_deb, Deb("many", "3", "amd64"))
        result = await agent.sync_change()
        assert len(result.added) == 1
        assert result.removed == []
        assert lab.packages().count("Package: many\n") == 3

    with_agent(lab, work)


@pytest.mark.parametrize("is_touched_again", [False, True])
def test_files_forgotten_by_a_failed_sync_still_leave_the_index(
    lab: Stage, monkeypatch: pytest.MonkeyPatch, is_touched_again: bool
) -> None:
    lab.server.put_deb(Deb("other", "1", "amd64"))
    [uri] = lab.server.put_deb(Deb("bad", "1", "amd64"))

    async def work(agent: Agent) -> None:
        await asyncio.to_thread(lab.server.act, uri, "fail")
        with monkeypatch.context() as patched:
            patched.setattr(build_repo, "make_live", full_disk)
            with pytest.raises(DiskError):
                await agent.sync_change()
        assert "Package: bad\n" in lab.packages()
        if is_touched_again:
            # Back, and gone again, before anybody hears of it.
            await asyncio.to_thread(lab.server.act, uri, "unfail")
            await asyncio.to_thread(lab.server.act, uri, "fail")
        # The work of a disk that was full is taken up again.
        await agent.sync_change(None if is_touched_again else ["bad"])
        assert "Package: bad\n" not in lab.packages()

    with_agent(lab, work)


def test_a_full_sync_ends_what_more_changes_than_can_be_remembered_began(lab: Stage) -> None:
    async def work(agent: Agent) -> None:
        changed, repo = agent.server.changed_packages, agent.repo.name
        changed.hear({repo: {f"p{number}" for number in range(10_001)}}, {}, 0.0)
        await asyncio.to_thread(lab.server.put_deb, Deb("new", "1", "amd64"))
        changes = await agent.server.changes(agent.position, 0)
        assert changed.take(repo, {"new"}) is None
        await sync(agent.mirror, agent.server, NOTHING_CONFIRMED, lambda what, files, size: None)
        await asyncio.to_thread(lab.server.put_deb, Deb("new", "2", "amd64"))
        await agent.server.changes(changes.position, 0)
        assert changed.take(repo, {"new"}) is not None

    with_agent(lab, work)
