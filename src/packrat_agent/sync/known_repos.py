"""Asks the server which repositories the mirror has, and remembers them, except for what is held back."""

from packrat_agent.model.changes import Confirmed
from packrat_agent.model.records import MirrorView
from packrat_agent.state.rejections import MIRROR
from packrat_agent.sync.context import MirrorContext, SyncResult
from packrat_agent.sync.keys.held_keys import hold_other_keys
from packrat_agent.sync.planning.held_types import hold_other_types
from packrat_agent.sync.planning.held_versions import keep_held_versions
from packrat_agent.sync.planning.removals import Leaving, hold_back_leaving
from packrat_agent.sync.roll_forward import roll_forward_all
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread


async def ask_mirror(context: MirrorContext, server: Packrat, confirmed: Confirmed) -> MirrorView:
    """Ask for the mirror and its repositories, and tell which of these records can't be used.

    Args:
        context: The mirror.
        server: The server to ask.
        confirmed: What the operator confirms; removals let distribution versions go with their files.

    Raises:
        PackratError: The server doesn't answer, or refuses to; the disk fails.
    """
    said, store = await server.view(), context.store

    def hold() -> MirrorView:
        view = hold_other_types(said, store, context.removals, accepted=confirmed.removals)
        view = hold_other_keys(view, store.known_tags, context.keys)
        return keep_held_versions(view, store, context.removals, accepted=confirmed.removals)

    view = await in_thread(hold)
    context.fault_log.rejected("", view.rejected)
    context.store.rejections.note(MIRROR, view.rejected)
    return view


def keep_repos(context: MirrorContext, view: MirrorView, confirmed: Confirmed) -> list[SyncResult]:
    """Remember which repositories the mirror has; gives a result for each that stays against the server's word.

    Args:
        context: The mirror.
        view: The mirror as the server describes it.
        confirmed: What the operator confirms; removals let all go.

    Raises:
        DiskError: The state database or root_dir can't be written.
    """
    # Before a directory may get another repository: later, an old index would be renamed over that one's.
    roll_forward_all(context.store, context.root, context.kept)
    leaving = find_leaving(context, view, confirmed)
    results = tell_leaving(context, leaving)
    context.store.repos.save(view.repos, view.unusable.union(left.repo for left in leaving))
    context.store.known_tags.note(view.repos)
    for left in leaving:
        context.store.facts.update_repo(left.repo, held=left.reason)
    return results


def find_leaving(context: MirrorContext, view: MirrorView, confirmed: Confirmed) -> tuple[Leaving, ...]:
    """Find the repositories that stay though the server doesn't name them, or not as they were.

    Args:
        context: The mirror.
        view: The mirror as the server describes it.
        confirmed: What the operator confirms; removals let all go.
    """
    limits, staying = context.removals, view.unusable.union(view.held)
    leaving = hold_back_leaving(view.repos, staying, context.store, limits, accepted=confirmed.removals)
    return (*leaving, *(Leaving(name, reason) for name, reason in view.held.items()))


def tell_leaving(context: MirrorContext, leaving: tuple[Leaving, ...]) -> list[SyncResult]:
    """Log why repositories stay; gives a result for each."""
    results = [SyncResult(left.repo, held=left.reason) for left in leaving]
    for result in results:
        context.fault_log.result(result, whole=True)
    return results
