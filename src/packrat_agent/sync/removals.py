"""Holds back sudden mass removals until the server repeats them or the operator accepts them.

- A repository that would lose all its files, or most of them, keeps them on the server's first answer.
- So does a mirror that would lose repositories with most of its files.
- The removal goes ahead once a full sync one interval later gets the same answer, or with `sync --accept-removals`.
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
"""Number of files from which a removal counts as a mass removal."""

_UNTIL = (
    "they stay until it says so again in a full sync one interval from now, or until "
    "`packrat-agent sync --accept-removals`"
)


@dataclass(frozen=True, slots=True)
class RemovalLimits:
    """Which share of a repository may go at once, and how much later the server must repeat its answer."""

    most_percent: int
    confirm_after_s: float


@dataclass(frozen=True, slots=True)
class Leaving:
    """A repository that stays although the server no longer names it, and why."""

    repo: str
    reason: str


def hold_back_removals(repo: Repo, wanted: Wanted, store: Store, limits: RemovalLimits, *, accepted: bool) -> None:
    """Refuse to remove all or most files of a repository on one answer of the server.

    Args:
        repo: the repository.
        wanted: the server's answer.
        store: the state database.
        limits: how much may go at once, and when an answer counts as repeated.
        accepted: the operator accepts removals.

    Raises:
        Held: neither the operator nor a second answer has confirmed it.
    """
    lost, live = store.wanted.lost(repo.name, wanted.uris)
    if not lost or (wanted.uris and not _is_most(lost, live, limits)):
        store.wanted.set_shrunk_since(repo.name, None)
        return
    if not _is_confirmed([repo.name], lost, store, limits, accepted=accepted):
        offers = f"{lost} files less" if wanted.uris else "nothing"
        raise Held(f"the server suddenly offers {offers} for {repo.name}, where {live} files are live", hint=_UNTIL)


def hold_back_leaving(
    repos: Collection[Repo], unusable: Collection[str], store: Store, limits: RemovalLimits, *, accepted: bool
) -> tuple[Leaving, ...]:
    """List the repositories that stay although the server no longer names them, since most of the mirror would go.

    Args:
        repos: the repositories that the server names. A directory that one of them has now is not a loss.
        unusable: names of others, whose records can't be used.
        store: the state database.
        limits: how much may go at once, and when an answer counts as repeated.
        accepted: the operator accepts removals.
    """
    # A repository that was renamed on the server keeps its directory, so its clients lose nothing.
    taken = {repo.directory for repo in repos}
    named = {repo.name for repo in repos}.union(unusable)
    left = [repo.name for repo in store.wanted.repos() if repo.name not in named and repo.directory not in taken]
    lost = sum(store.wanted.lost(name, ())[0] for name in left)
    live = sum(store.wanted.lost(repo.name, ())[1] for repo in store.wanted.repos())
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
