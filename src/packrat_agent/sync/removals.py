"""Holds back what a server suddenly takes away, until it is confirmed.

Takes: what the server names now, what is live, the operator's word.
Gives: nothing, or Held; the repositories that stay though the server names them no more.
Touches: the state database.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.store import Store
from packrat_core.errors import Held

log = structlog.get_logger()

_MANY_REMOVALS = 10
"""Fewer files than this may go at once, whatever part of the repository they are."""

_UNTIL = (
    "they stay until it says so again in a full sync one interval from now, or until "
    "`packrat-agent sync --accept-removals`"
)


@dataclass(frozen=True, slots=True)
class RemovalLimits:
    """Which part of a repository may go at once, and how much later the server must say the same again."""

    most_percent: int
    confirm_after_s: float


@dataclass(frozen=True, slots=True)
class Leaving:
    """A repository that the server names no more, and why it stays all the same."""

    repo: str
    reason: str


def hold_back_removals(repo: Repo, wanted: Wanted, store: Store, limits: RemovalLimits, *, accepted: bool) -> None:
    """Refuse to empty a repository, or to take most of it away, on one answer.

    Raises: Held until the operator accepts it, or the server has said the same for a full interval.
    """
    lost, live = store.wanted.lost(repo.name, wanted.uris)
    if not lost or (wanted.uris and not _is_most(lost, live, limits)):
        store.wanted.set_shrunk_since(repo.name, None)
        return
    if not _is_confirmed([repo.name], lost, store, limits, accepted=accepted):
        offers = f"{lost} files less" if wanted.uris else "nothing"
        raise Held(f"the server suddenly offers {offers} for {repo.name}, where {live} files are live; {_UNTIL}")


def hold_back_leaving(
    repos: Collection[Repo], unusable: Collection[str], store: Store, limits: RemovalLimits, *, accepted: bool
) -> tuple[Leaving, ...]:
    """Keep the repositories that the mirror suddenly has no more, where all or most of what is live would go with them.

    repos, unusable: what the server names. A directory that another repository has now is no loss.
    """
    taken = {repo.directory for repo in repos}
    named = {repo.name for repo in repos}.union(unusable)
    left = [one.name for one in store.wanted.repos() if one.name not in named and one.directory not in taken]
    lost = sum(store.wanted.lost(name, ())[0] for name in left)
    live = sum(store.wanted.lost(one.name, ())[1] for one in store.wanted.repos())
    if not lost or (named and not _is_most(lost, live, limits)):
        return ()
    if _is_confirmed(left, lost, store, limits, accepted=accepted):
        return ()
    names = f"{len(left)} repositories less" if named else "no repositories"
    reason = f"the server suddenly names {names} for this mirror, where {live} files are live; {_UNTIL}"
    return tuple(Leaving(name, reason) for name in left)


def _is_most(lost: int, live: int, limits: RemovalLimits) -> bool:
    return lost >= _MANY_REMOVALS and lost * 100 > live * limits.most_percent


def _is_confirmed(names: Sequence[str], lost: int, store: Store, limits: RemovalLimits, *, accepted: bool) -> bool:
    now = time.time()
    since = {name: store.wanted.shrunk_since(name) for name in names}
    confirmed = accepted or all(at is not None and now - at >= limits.confirm_after_s for at in since.values())
    if confirmed:
        log.info("confirmed", repo=",".join(names), removals=lost)
    for name, at in since.items():
        if confirmed or at is None:
            store.wanted.set_shrunk_since(name, None if confirmed else now)
    return confirmed
