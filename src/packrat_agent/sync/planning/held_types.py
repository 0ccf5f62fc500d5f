"""Holds back a change of a repository's type on the server, which takes all files away from its clients at once.

1. A repository that has live files and gets another type stays as it was published, and is not synced.
2. So does one that left the mirror while another, of another type, took its directory.
3. Meanwhile no other repository gets a directory that is, contains or lies in that of one that stays.
4. It changes once a look one interval later still finds the other type, or with `sync --accept-removals`.
5. A server that takes the change back ends this.
"""

from collections.abc import Iterator
from dataclasses import replace

import structlog

from packrat_agent.model.paths import are_nested
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
    changed = _find_changed(view, store.repos.all())
    held = {
        before.name: (before, reason)
        for before, now in changed
        if (reason := _why_held(before, now, store, limits, accepted=accepted))
    }
    waiting = {
        repo.name: f"its directory {repo.directory} is, contains or lies in that of {before.name}, which is held"
        for repo in view.repos
        for before, _ in held.values()
        if are_nested(repo.directory, before.directory)
    }
    reasons = waiting | {name: reason for name, (_, reason) in held.items()}
    return replace(view, repos=tuple(repo for repo in view.repos if repo.name not in reasons), held=reasons)


def _find_changed(view: MirrorView, known: tuple[Repo, ...]) -> Iterator[tuple[Repo, Repo]]:
    """Give each known repository whose name, or else whose directory, has another type now, and what has it."""
    by_name = {repo.name: repo for repo in view.repos}
    by_directory = {repo.directory: repo for repo in view.repos}
    for before in known:
        now = by_name.get(before.name)
        if now is None and before.name not in view.unusable:
            now = by_directory.get(before.directory)
        if now is not None and now.kind != before.kind:
            yield before, now


def _why_held(before: Repo, now: Repo, store: Store, limits: RemovalLimits, *, accepted: bool) -> str | None:
    removals, live = store.removals, store.wanted.lost(before.name, ())
    if not live:
        return None
    at, since = removals.clock.now(), removals.held(before.name)
    if accepted or all(at - since.get(uri, at + 1) >= limits.confirm_after_s for uri in live):
        log.info("confirmed", repo=before.name, removals=len(live))
        if now.name == before.name:
            removals.let_go(before.name, live)
        else:
            # It leaves the mirror. Should it come back, nothing of it is to go for what was said before.
            removals.hold(before.name, (), at)
        return None
    removals.hold(before.name, live, at)
    what = "its type on the server" if now.name == before.name else f"the type of its directory {before.directory}"
    count = count_of(len(live), "file is live", "files are live")
    return f"{what} was {before.kind!r} and is now {now.kind!r}, where {count}; {UNTIL}"
