"""The values that the steps of one sync of one repository share, and how they fetch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from packrat_agent.formats.interface import Format
from packrat_agent.model.entries import Plan
from packrat_agent.model.records import Repo
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.fetch.download import Fetched, fetch, to_stage
from packrat_agent.sync.fetch.shared_downloads import Share
from packrat_agent.sync.fetch.staging import own_staging
from packrat_agent.sync.repo_work import WorkNotes
from packrat_agent.sync.turns import RepoTurn
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread

_FEW_DOWNLOADS = 10
"""Up to this number of files are downloaded at once; more are bulk work, which leaves the server time for others."""


@dataclass(frozen=True, slots=True)
class Job:
    """One sync of one repository: what it works on, and what it notes."""

    repo: Repo
    form: Format
    order: Order
    server: Packrat
    context: MirrorContext
    turn: RepoTurn
    result: SyncResult
    work: WorkNotes
    on_progress: Callable[[int, int], None]

    @contextmanager
    def staging(self) -> Iterator[Share]:
        """Give the sync its staging directory, and its part in the downloads of the mirror.

        Raises:
            DiskError: The directory can't be made.
        """
        context, full = self.context, self.order.reread
        with (
            own_staging(context.staging, self.repo.name, full=full) as staging,
            context.turns.downloads.share(staging, urgent=not full) as share,
        ):
            yield share

    async def fetch(self, plan: Plan, share: Share) -> Fetched:
        """Stage what a plan needs (see `download.fetch`).

        Raises:
            DiskError: Staging can't be written. Any other error fails only its own file.
        """
        if share.want(to_stage(plan)):
            plan = await in_thread(self._find_copies_again, plan)
        bulk = len(plan.fetch) > _FEW_DOWNLOADS
        open_file, open_bundle = partial(self.server.open_file, bulk=bulk), self.server.bundles.opener(bulk=bulk)
        return await fetch(plan, share, self.context.root, open_file, self.on_progress, open_bundle=open_bundle)

    def _find_copies_again(self, plan: Plan) -> Plan:
        """Add copies that other syncs have published since the plan was made: each file is downloaded once."""
        copies = self.context.store.live.copies({placement.file.sha256 for placement in plan.fetch})
        return replace(plan, sources={**copies, **plan.sources})
