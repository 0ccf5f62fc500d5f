"""Holds back what a server suddenly takes away, until it is confirmed.

Takes: what a repository wants now, what is live, the operator's word.
Gives: nothing, or Held.
Touches: the state database.
"""

import time
from dataclasses import dataclass

import structlog

from packrat_agent.errors import Held
from packrat_agent.model import Repo, Wanted
from packrat_agent.state.store import Store

log = structlog.get_logger()

_MANY_REMOVALS = 10
"""Fewer files than this may go at once, whatever part of the repository they are."""


@dataclass(frozen=True, slots=True)
class RemovalLimits:
    """Which part of a repository may go at once, and how much later the server must say the same again."""

    most_percent: int
    confirm_after_s: float


def hold_back_removals(repo: Repo, wanted: Wanted, store: Store, limits: RemovalLimits, *, accepted: bool) -> None:
    """Refuse to empty a repository, or to take most of it away, on one answer.

    Raises: Held until the operator accepts it, or the server has said the same for a full interval.
    """
    lost, live = store.wanted.lost(repo.name, wanted.uris)
    most = lost >= _MANY_REMOVALS and lost * 100 > live * limits.most_percent
    if not lost or (wanted.uris and not most):
        store.wanted.set_shrunk_since(repo.name, None)
        return
    now = time.time()
    since = store.wanted.shrunk_since(repo.name)
    if accepted or (since is not None and now - since >= limits.confirm_after_s):
        log.info("confirmed", repo=repo.name, removals=lost)
        store.wanted.set_shrunk_since(repo.name, None)
        return
    if since is None:
        store.wanted.set_shrunk_since(repo.name, now)
    raise Held(
        f"the server suddenly offers {'nothing' if not wanted.uris else f'{lost} files less'} for {repo.name}, where "
        f"{live} files are live; they stay until it says so again in a full sync one interval from now, or until "
        "`packrat-agent sync --accept-removals`"
    )
