"""Tells what clients of a tree would lose if this agent took it over, and what it must go on with.

A package that clients have is one that the original agent's state database names and that stands on disk; without that
database, one that stands where an agent puts packages. Where an apt suite has indexes, only what they name counts: the
original agent left out debs whose architecture is not the recorded one. It is lost if no index would name its bytes
any more, in the same suite, nor another file in its very place.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.formats.apt.release import client_names
from packrat_agent.formats.interface import REPOSITORY
from packrat_agent.formats.pypi.former_place import former_place
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import is_kept, path_in_root
from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.state.original import OriginalState
from packrat_agent.sync.context import MirrorContext, Summary, SyncResult
from packrat_agent.sync.takeover.original_places import (
    is_package,
    keeps_path,
    original_place,
    read_filenames,
    read_suite,
)
from packrat_agent.sync.takeover.other_keys import find_other_keys
from packrat_agent.sync.takeover.own_indexes import find_own_indexes, is_made_by_us

_WITH_SUITES = frozenset({"apt", "yum"})
_NOT_OFFERED = "the server no longer offers it there"


@dataclass(frozen=True, slots=True)
class _ClientPackage:
    """A package that clients have; `suite` is (distro, version), None where that doesn't matter."""

    repo: str
    directory: str
    kind: str
    path: str
    sha256: str
    uri: str
    suite: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class _Offer:
    """The packages that a repository would offer.

    `offered` holds the SHA-256 and the path of each package file, with its suite and without; `reasons` maps URIs and
    SHA-256s to why others are left out.
    """

    offered: frozenset[tuple[str, tuple[str, str] | None]]
    reasons: Mapping[str, str]
    is_held: bool

    def has(self, package: _ClientPackage) -> bool:
        return not self.offered.isdisjoint({(package.sha256, package.suite), (package.path, package.suite)})


def find_losses(
    context: MirrorContext, view: MirrorView, summary: Summary, untracked: Mapping[str, StoredFile]
) -> list[str]:
    """Say, a line each, what clients would lose.

    Args:
        context: The mirror, in a dry run of a takeover.
        view: The mirror as the server describes it.
        summary: What the dry run of its repositories gave.
        untracked: Path → hashed files below `root_dir`.
    """
    original = context.takeover.original if context.takeover is not None else None
    repos = {repo.name: repo for repo in view.repos}
    offers = {result.repo: _offer(repos[result.repo], result) for result in summary.syncs if result.repo in repos}
    lines = [f"{name}: all of it, as it can't be synced: {reason}" for name, reason in summary.errors.items()]
    lines += [f"{name}: all of it, as the server's record of it can't be used" for name in sorted(view.unusable)]
    lines += find_other_keys(context, view.repos, untracked)
    if original is not None:
        lines += _find_moved(original, repos, untracked)
    unlisted = _Unlisted(context.root, untracked)
    for package in _list_client_packages(original, view.repos, untracked):
        offer = offers.get(package.repo)
        if package.repo in summary.errors or package.repo in view.unusable or is_kept(package.path, context.kept):
            continue
        if offer is None:
            lines.append(f"{package.repo}: {package.path}: its repository is no longer on the mirror")
        # Nothing of a held repository is touched.
        elif not offer.is_held and not offer.has(package) and not unlisted.holds(package):
            reason = offer.reasons.get(package.uri) or offer.reasons.get(package.sha256) or _NOT_OFFERED
            lines.append(f"{package.repo}: {package.path}: {reason}")
    return list(dict.fromkeys(lines))


class _Unlisted:
    """Tells which packages of apt repositories no index names."""

    def __init__(self, root: Path, untracked: Mapping[str, StoredFile]) -> None:
        self._root, self._untracked = root, untracked
        self._named: dict[str, frozenset[str] | None] = {}
        self._below: dict[str, frozenset[str]] = {}

    def holds(self, package: _ClientPackage) -> bool:
        """Tell whether a package stands on disk alone; its suite is any one where the database is lost."""
        if package.kind != "apt":
            return False
        below = f"{package.directory}/dists/"
        suites = self._suites(below) if package.suite is None else (package.suite[1],)
        named = [listed for name in suites if (listed := self._read(f"{below}{name}")) is not None]
        return bool(named) and not any(package.path.removeprefix(f"{package.directory}/") in listed for listed in named)

    def _suites(self, below: str) -> frozenset[str]:
        if below not in self._below:
            paths = (path.removeprefix(below) for path in self._untracked if path.startswith(below))
            self._below[below] = frozenset(path.partition("/")[0] for path in paths)
        return self._below[below]

    def _read(self, suite: str) -> frozenset[str] | None:
        if suite not in self._named:
            self._named[suite] = read_filenames(self._root, suite, self._untracked)
        return self._named[suite]


def find_changed_names(context: MirrorContext, view: MirrorView, untracked: Collection[str]) -> list[str]:
    """Say which suites would change what apt lets change only with the consent of its user.

    Args:
        context: The mirror.
        view: The mirror as the server describes it.
        untracked: The paths of what stands below `root_dir`.
    """
    lines = []
    for repo, suite, before in _suites(context, view.repos, untracked):
        # The tree may be one of ours, of which the state database and the mark are lost.
        now = client_names(repo, context.settings, suite, named=REPOSITORY in before)
        changed = [name for name in now if name in before and before[name] != now[name]]
        if changed and repo.name not in context.settings.confirmed_repos:
            changes = ", ".join(f"{name} from {before[name]!r} to {now[name]!r}" for name in changed)
            lines.append(
                f"{repo.name}: suite {suite} would change {changes}, and `apt-get update` would fail on every client "
                "until its user accepts that: set apt_origin or apt_label in [mirror] to what it was, or confirm with "
                f"confirm_release_change: {repo.name}"
            )
    return lines


def find_chores(view: MirrorView, untracked: Collection[str]) -> list[str]:
    """Say what else the operator has to do: the original agent's images need no media type, today's do.

    Args:
        view: The mirror as the server describes it.
        untracked: The paths of what stands below `root_dir`.
    """
    return [
        f"{repo.name}: clients need the media types of manifests from now on. Let the web server send them before the "
        "takeover: Apache with `AllowOverride FileInfo` and mod_headers, or a site file of `packrat-agent site`"
        for repo in view.repos
        if repo.kind == "docker" and path_in_root(repo, "v2/_catalog") in untracked
    ]


def begin_with_suites(context: MirrorContext, repos: Sequence[Repo], untracked: Collection[str]) -> None:
    """Remember of the suites on disk what their clients hold them to, as if this agent had published them.

    Args:
        context: The mirror.
        repos: Its repositories.
        untracked: The paths of what stands below root_dir.

    Raises:
        DiskError: The state database can't be written.
    """
    for repo, suite, facts in _suites(context, repos, untracked):
        context.store.publications.remember_others(repo.name, suite, facts)


def find_removed(view: MirrorView, summary: Summary, untracked: Collection[str], paths: Sequence[str]) -> list[str]:
    """Find the untracked paths that go where no state database knows the tree.

    Others are rewritten in their places, and held repositories left alone.

    Args:
        view: The mirror as the server describes it.
        summary: What the dry run of its repositories gave.
        untracked: The paths of what stands below `root_dir`.
        paths: What no repository adopts.
    """
    held = {result.repo for result in summary.syncs if result.held is not None}.union(summary.errors)
    planned = [placement for result in summary.syncs for placement in result.planned]
    stays = find_own_indexes(view.repos, planned, untracked, paths)
    # Another file in the very place, such as an rpm that is signed again.
    stays.update(placement.path for placement in planned)
    for repo in view.repos:
        below = path_in_root(repo, "")
        inside = [path for path in paths if path.startswith(below)]
        if repo.name in held:
            stays.update(inside)
            continue
        if not is_made_by_us(repo, untracked):
            stays.update(path for path in inside if keeps_path(repo.kind, path.removeprefix(below)))
        if repo.kind == "pypi":
            result = next((result for result in summary.syncs if result.repo == repo.name), None)
            names = {placement.file.file_name for placement in result.planned} if result is not None else set()
            stays.update(path_in_root(repo, former_place(name)) for name in names)
    return [path for path in paths if path not in stays]


def _find_moved(
    original: OriginalState, repos: Mapping[str, Repo], untracked: Mapping[str, StoredFile]
) -> Iterator[str]:
    tops = {path.partition("/")[0] for path in untracked}
    for before in original.repos.values():
        repo = repos.get(before.name)
        if repo is not None and repo.directory != before.directory and before.directory.partition("/")[0] in tops:
            yield f"{repo.name}: its address, as its directory is now {repo.directory} and was {before.directory}"


def _list_client_packages(
    original: OriginalState | None, repos: Sequence[Repo], untracked: Mapping[str, StoredFile]
) -> Iterator[_ClientPackage]:
    if original is None:
        for repo in repos:
            below = path_in_root(repo, "")
            for path, file in untracked.items():
                if path.startswith(below) and is_package(repo.kind, path.removeprefix(below)):
                    yield _ClientPackage(
                        repo=repo.name,
                        directory=repo.directory,
                        kind=repo.kind,
                        path=path,
                        sha256=file.sha256,
                        uri="",
                        suite=None,
                    )
        return
    for row in original.files:
        before = original.repos[row.repo]
        place = original_place(before.kind, row)
        path = f"{before.directory}/{place}"
        if place is not None and path in untracked:
            suite = (row.distro, row.distro_version) if before.kind in _WITH_SUITES else None
            yield _ClientPackage(
                repo=row.repo,
                directory=before.directory,
                kind=before.kind,
                path=path,
                sha256=row.sha256,
                uri=row.uri,
                suite=suite,
            )


def _offer(repo: Repo, result: SyncResult) -> _Offer:
    suites = {version.name: (version.distro, version.version or "") for version in repo.distro_versions}
    offered: set[tuple[str, tuple[str, str] | None]] = set()
    for placement in result.planned:
        for suite in (suites.get(placement.file.distro_version), None):
            offered |= {(placement.file.sha256, suite), (placement.path, suite)}
    reasons = {rejection.record: rejection.reason for rejection in result.rejected}
    for refusal in result.refused:
        reasons |= {refusal.file.uri: refusal.reason, refusal.file.sha256: refusal.reason}
    return _Offer(frozenset(offered), reasons, result.held is not None)


def _suites(
    context: MirrorContext, repos: Sequence[Repo], untracked: Collection[str]
) -> Iterator[tuple[Repo, str, dict[str, str]]]:
    for repo in repos:
        if repo.kind != "apt":
            continue
        for version in repo.distro_versions:
            suite = version.version or version.name
            facts = read_suite(context.root, repo, path_in_root(repo, f"dists/{suite}"), untracked)
            if facts:
                yield repo, suite, facts
