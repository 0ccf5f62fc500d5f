"""Holds back a change of a repository's type on the server, which takes all files away from its clients at once.

1. A repository that has live files and gets another type stays as it was published, and is not synced.
2. It changes once a look one interval later still finds the other type, or with `sync --accept-removals`.
3. A server that takes the change back ends this.
"""

from dataclasses import replace

import structlog

from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.removals import UNTIL, RemovalLimits
from packrat_core.text import count_of

log = structlog.get_logger()


def hold_other_types(view: MirrorView, store: Store, limits: RemovalLimits, *, accepted: bool) -> MirrorView:
    """Take the repositories whose type changed, and is not to change yet, out of what the server says.

    Args:
        view: What the server says of the mirror.
        store: The state database.
        limits: When an answer counts as repeated.
        accepted: The operator accepts removals.

    Returns:
        The view, with each such repository among the held ones, which stay as they are.

    Raises:
        DiskError: The state database can't be read or written.
    """
    before = {repo.name: repo for repo in store.repos.all()}
    held = {
        repo.name: reason
        for repo in view.repos
        if repo.name in before and (reason := _why_held(repo, before[repo.name], store, limits, accepted=accepted))
    }
    return replace(view, repos=tuple(repo for repo in view.repos if repo.name not in held), held=held)


def _why_held(repo: Repo, before: Repo, store: Store, limits: RemovalLimits, *, accepted: bool) -> str | None:
    if repo.kind == before.kind:
        return None
    removals, live = store.removals, store.wanted.lost(repo.name, ())
    if not live:
        return None
    now, since = removals.clock.now(), removals.held(repo.name)
    if accepted or all(now - since.get(uri, now + 1) >= limits.confirm_after_s for uri in live):
        log.info("confirmed", repo=repo.name, removals=len(live))
        removals.hold(repo.name, (), now)
        return None
    removals.hold(repo.name, live, now)
    count = count_of(len(live), "file is live", "files are live")
    return f"its type on the server was {before.kind!r} and is now {repo.kind!r}, where {count}; {UNTIL}"
