"""Holds back mass removals that the server doesn't account for, until it repeats them or the operator accepts them.

1. A removal that the server accounts for happens at once, and is not counted: a file whose record says that it failed
   or is deprecated (only that it failed where deprecated files stay, yanked), and what `changes` named: the files that
   were touched, or all files of a package.
2. Any other file that a listing lacks counts for a day, so that small steps add up. If more would go than may go, of
   the repository or of the mirror, the rest stays in the index; everything else of the sync goes on.
3. So does a repository whose last files would go, and one that leaves the mirror with most of its files.
4. What is held back goes once a full sync one interval later still lacks it, or with `sync --accept-removals`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import structlog

from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.removals import LET_GO
from packrat_agent.state.store import Store
from packrat_core.text import count_of

log = structlog.get_logger()

_MANY_REMOVALS = 10
"""Number of files from which a removal counts as a mass removal."""

UNTIL = (
    "they stay until it says so again in a full sync one interval from now, or until "
    "`packrat-agent sync --accept-removals`"
)
"""How long files stay that are held back."""


@dataclass(frozen=True, slots=True)
class RemovalLimits:
    """Which share of a repository may go in a day, and how much later the server must repeat its answer."""

    most_percent: int
    confirm_after_s: float

    def are_exceeded(self, gone: int, of: int) -> bool:
        """Say whether this is more than may go in a day."""
        return gone >= _MANY_REMOVALS and gone * 100 > of * self.most_percent


@dataclass(frozen=True, slots=True)
class Leaving:
    """A repository that stays as it is although the server no longer names it, or gives it another type; and why."""

    repo: str
    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Live files that the server's answer lacks: their URIs, and those of them that it accounts for."""

    uris: Collection[str]
    accounted: Collection[str]


def is_suspicious(repo: str, wanted: Wanted, missing: Missing, lost: int, store: Store, limits: RemovalLimits) -> bool:
    """Say whether files are too many to go on this answer.

    Args:
        repo: The name of the repository.
        wanted: The server's answer.
        missing: What it lacks.
        lost: How many of these the server doesn't account for.
        store: The state database.
        limits: How much may go.
    """
    if not lost:
        return False
    if not wanted.uris and store.wanted.live_count(repo) <= len(missing.uris):
        return True
    return are_too_many(repo, lost, store, limits)


def are_too_many(repo: str, lost: int, store: Store, limits: RemovalLimits) -> bool:
    """Say whether more would go in a day than may, of a repository or of the mirror.

    Args:
        repo: The name of the repository.
        lost: How many of its files would go now.
        store: The state database.
        limits: How much may go.
    """
    removals, now = store.removals, store.removals.clock.now()
    for of_repo in (repo, None):
        gone = removals.gone(of_repo, now)
        # Counting all files takes a while where they are many.
        if lost + gone >= _MANY_REMOVALS and limits.are_exceeded(lost + gone, store.wanted.live_count(of_repo) + gone):
            return True
    return False


def hold_back_removals(
    repo: Repo, wanted: Wanted, missing: Missing, store: Store, limits: RemovalLimits, *, accepted: bool
) -> Wanted:
    """Add to the server's answer what is not to go yet.

    Args:
        repo: The repository.
        wanted: The server's answer.
        missing: What it lacks.
        store: The state database.
        limits: How much may go, and when an answer counts as repeated.
        accepted: The operator accepts removals.

    Raises:
        DiskError: The state database can't be written.
    """
    removals = store.removals
    now, held = removals.clock.now(), removals.held(repo.name)
    unaccounted = [uri for uri in missing.uris if uri not in missing.accounted]
    ripe = {uri for uri in unaccounted if accepted or now - held.get(uri, now + 1) >= limits.confirm_after_s}
    fresh = [uri for uri in unaccounted if uri not in ripe]
    # That files go which were let go was logged when they were.
    if confirmed := sum(held.get(uri) != LET_GO for uri in ripe):
        log.info("confirmed", repo=repo.name, removals=confirmed)
    if back := sum(since != LET_GO and uri in wanted.uris for uri, since in held.items()):
        log.info("taken-back", repo=repo.name, removals=back)
    is_held = is_suspicious(repo.name, wanted, missing, len(fresh), store, limits)
    # An answer about some packages says nothing of what else is held.
    others = {uri for uri in held.keys() - set(missing.uris) if uri not in wanted.uris}
    if held or is_held:
        removals.hold(repo.name, [*others, *(fresh if is_held else ())], now)
    if not is_held:
        if fresh:
            removals.note_gone(repo.name, fresh, now)
        return wanted
    wanted = replace(wanted, uris=Joined(wanted.uris, frozenset(fresh)))
    if wanted.yanked is None:
        return wanted
    # What is yanked stays yanked: the answer lacks its mark, too.
    yanked = frozenset(file.uri for file in store.record_reads.read_among(repo.name, fresh) if file.yanked)
    return replace(wanted, yanked=Joined(wanted.yanked, yanked))


def explain_held_back(repo: Repo, store: Store) -> str | None:
    """Say what is held back of a repository; None if nothing is."""
    held = len(store.removals.held(repo.name))
    if not held:
        return None
    live = store.wanted.live_count(repo.name)
    offers = f"{count_of(held, 'file')} less" if held < live else "nothing"
    return f"the server suddenly offers {offers} for {repo.name}, where {_live(live)}; {UNTIL}"


def _live(files: int) -> str:
    return count_of(files, "file is live", "files are live")


def hold_back_leaving(
    repos: Collection[Repo], unusable: Collection[str], store: Store, limits: RemovalLimits, *, accepted: bool
) -> tuple[Leaving, ...]:
    """List the repositories that stay although the server no longer names them, since most of the mirror would go.

    Args:
        repos: the repositories that the server names. A directory that one of them has now is not a loss.
        unusable: names of others, whose records can't be used.
        store: the state database.
        limits: how much may go, and when an answer counts as repeated.
        accepted: the operator accepts removals.
    """
    removals = store.removals
    now = removals.clock.now()
    # A repository that was renamed on the server keeps its directory, so its clients lose nothing.
    taken = {repo.directory for repo in repos}
    named = {repo.name for repo in repos}.union(unusable)
    for name in sorted(removals.held_repos() & named):
        log.info("taken-back", repo=name, text="the server names the repository again")
    left = [repo.name for repo in store.repos.all() if repo.name not in named and repo.directory not in taken]
    lost = sum(store.wanted.live_count(name) for name in left)
    # Counting all files takes a while where they are many, and nearly always no repository has left.
    live, gone = (store.wanted.live_count(None), removals.gone(None, now)) if lost else (0, 0)
    if lost and (not named or limits.are_exceeded(lost + gone, live + gone)):
        since = [removals.repo_held_since(name) for name in left]
        if not accepted and not all(at is not None and now - at >= limits.confirm_after_s for at in since):
            removals.hold_repos(left, now)
            names = f"{count_of(len(left), 'repository', 'repositories')} less" if named else "no repositories"
            reason = f"the server suddenly names {names} for this mirror, where {_live(live)}; {UNTIL}"
            return tuple(Leaving(name, reason) for name in left)
        log.info("confirmed", repo=",".join(left), removals=lost)
    else:
        for name in left:
            removals.note_gone(name, store.wanted.lost(name, ()), now)
    removals.hold_repos((), now)
    return ()


class Joined(Collection[str]):
    """The URIs of an answer, and a few more."""

    def __init__(self, answered: Collection[str], more: frozenset[str]) -> None:
        self._answered = answered
        self._more = more

    def __contains__(self, uri: object) -> bool:
        return uri in self._more or uri in self._answered

    def __len__(self) -> int:
        return len(self._answered) + len(self._more)

    def __iter__(self) -> Iterator[str]:
        yield from self._answered
        yield from self._more
