"""Keeps a distribution version that the server took away from a repository while its files are held back.

1. Without the version, there is no place for its files: the suite would go at once, whatever the removal guard holds.
2. So a version stays while more files of it are live than may go in a day, by the rule of `removals`, until all of them
   have been held back for an interval or the operator accepts removals.
3. A version that has the suite or the name of one that the server names is not kept: that one has its place, or its
   files, now.
"""

from dataclasses import replace

from packrat_agent.model.records import DistroVersion, MirrorView, Repo
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.removals import RemovalLimits, are_too_many


def keep_held_versions(view: MirrorView, store: Store, limits: RemovalLimits, *, accepted: bool) -> MirrorView:
    """Give the repositories back the distribution versions whose files are not to go yet.

    Args:
        view: What the server says of the mirror.
        store: The state database.
        limits: How much may go, and when an answer counts as repeated.
        accepted: The operator accepts removals.

    Raises:
        DiskError: The state database can't be read.
    """
    if accepted:
        return view
    before = {repo.name: repo for repo in store.repos.all()}
    kept = {
        repo.name: versions
        for repo in view.repos
        if repo.name in before and (versions := _find_held(repo, before[repo.name], store, limits))
    }
    repos = (replace(repo, distro_versions=repo.distro_versions + kept.get(repo.name, ())) for repo in view.repos)
    return replace(view, repos=tuple(repos))


def _find_held(repo: Repo, before: Repo, store: Store, limits: RemovalLimits) -> tuple[DistroVersion, ...]:
    places = {_place(version) for version in repo.distro_versions}
    names = {version.name for version in repo.distro_versions}
    lost = [
        version for version in before.distro_versions if _place(version) not in places and version.name not in names
    ]
    if not lost or repo.kind != before.kind:
        return ()
    removals = store.removals
    held_until = removals.clock.now() - limits.confirm_after_s
    live = {version: removals.count_live(repo.name, version.name) for version in lost}
    files = sum(live.values())
    if files == sum(removals.count_live(repo.name, version.name, held_until) for version in lost):
        return ()
    # Whether the server offers others in their place is not known yet. If it does, fewer than ten go at once, and the
    # suite is empty until the next full sync.
    is_all = files == store.wanted.live_count(repo.name)
    if not (is_all or are_too_many(repo.name, files, store, limits)):
        return ()
    return tuple(version for version in lost if live[version])


def _place(version: DistroVersion) -> tuple[str, str]:
    """Name the suite, which no two versions of a repository share."""
    return version.distro, version.version or version.name
