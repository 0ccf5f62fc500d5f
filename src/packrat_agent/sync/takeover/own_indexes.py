"""Tells which files of a tree made by a packrat-agent are indexes and pages, which a sync writes anew in their places.

A dry run after the state database was lost renders nothing, so it can't know which of them the new indexes have again.
Indexes of what the mirror does not have any more, such as a distribution version or an image, are not among them.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from packrat_agent.model.entries import Placement
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo

_MADE_BY_US = "_repo_main/packages/index.json"
"""Every repository has this list for the landing page; those of the original agent have not."""
_OF_ALL = re.compile(r"_repo_main/.*")
_OF_KIND: Mapping[str, re.Pattern[str]] = {
    "apt": re.compile(r"dists/(?P<part>[^/]+)/.*"),
    "yum": re.compile(r"(?P<part>[^/]+/main/[^/]+)/(repodata/.*|generations/.*|metalink|mirrorlist|[^/]+\.repo)"),
    "pypi": re.compile(r"simple/((?P<part>[^/]+)/)?[^/]+"),
    # Layers of an image that stays are adopted, or written again in their places.
    "docker": re.compile(
        r"v2/(_.*|[^/]+)|v2/(?P<part>[^/_][^/]*)/.*|extensions/v2/(?P<listed>[^/]+)/.*"
        r"|sigstore/[^/@]+|sigstore/(.*/)?(?P<signed>[^/@]+)@sha256=.*"
    ),
    "json": re.compile(r"SHA256SUMS.*"),
}
"""A group of each names the part of the repository that an index is of; one without is of the whole."""
_OF_SITE = re.compile(r"index\.html|repo-key(\.gpg)?|repo-(page|keys)/.*|v2/.*")


def is_made_by_us(repo: Repo, untracked: Collection[str]) -> bool:
    """Tell whether a packrat-agent of this project has made what stands on disk of a repository."""
    return path_in_root(repo, _MADE_BY_US) in untracked


def find_own_indexes(
    repos: Sequence[Repo], planned: Sequence[Placement], untracked: Collection[str], paths: Sequence[str]
) -> set[str]:
    """Find the indexes and pages of this agent among some paths.

    Args:
        repos: The repositories of the mirror.
        planned: Their package files.
        untracked: The paths of what stands below root_dir.
        paths: Some of them.
    """
    ours = [repo for repo in repos if is_made_by_us(repo, untracked)]
    found = {path for path in paths if _OF_SITE.fullmatch(path)} if ours else set[str]()
    for repo in ours:
        below = path_in_root(repo, "")
        parts = frozenset(_list_parts(repo, [placement for placement in planned if placement.path.startswith(below)]))
        inside = (path for path in paths if path.startswith(below))
        found.update(path for path in inside if _is_index(repo, path.removeprefix(below), parts))
    return found


def _is_index(repo: Repo, path: str, parts: frozenset[str]) -> bool:
    if _OF_ALL.fullmatch(path):
        return True
    match = _OF_KIND[repo.kind].fullmatch(path) if repo.kind in _OF_KIND else None
    return match is not None and parts.issuperset(filter(None, match.groupdict().values()))


def _list_parts(repo: Repo, planned: Sequence[Placement]) -> Iterator[str]:
    """List the parts of a repository that have indexes of their own."""
    # It takes a while to import, and only Python repositories need it.
    from packrat_core.packages.python.spellings import normalize

    for version in repo.distro_versions:
        name = version.version or version.name
        yield name if repo.kind == "apt" else f"{version.distro}/main/{name}"
    for placement in planned:
        if repo.kind == "pypi":
            yield normalize(placement.file.package)
        elif repo.kind == "docker":
            yield placement.path.rpartition("/")[2]
