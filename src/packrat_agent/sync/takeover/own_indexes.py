"""Tells which files of a tree made by a packrat-agent are indexes and pages, which a sync writes anew in their places.

A dry run after the state database was lost renders nothing, so it can't know which of them the new indexes have again.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo

_MADE_BY_US = "_repo_main/packages/index.json"
"""Every repository has this list for the landing page; those of the original agent have not."""
_OF_ALL = r"_repo_main/.*"
_OF_KIND: Mapping[str, str] = {
    "apt": r"dists/.*",
    "yum": r"[^/]+/main/[^/]+/(repodata/.*|generations/.*|metalink|mirrorlist|[^/]+\.repo)",
    "pypi": r"simple/.*|packages/.*\.metadata",
    "docker": r"(v2|sigstore|extensions)/.*",
    "json": r"SHA256SUMS.*",
}
_OF_SITE = re.compile(r"index\.html|repo-key(\.gpg)?|repo-(page|keys)/.*|v2/.*")


def find_own_indexes(repos: Sequence[Repo], untracked: Collection[str], paths: Sequence[str]) -> set[str]:
    """Find the indexes and pages of this agent among some paths.

    Args:
        repos: The repositories of the mirror.
        untracked: The paths of what stands below root_dir.
        paths: Some of them.
    """
    found: set[str] = set()
    for repo in repos:
        below = path_in_root(repo, "")
        if f"{below}{_MADE_BY_US}" not in untracked:
            continue
        index = re.compile(f"{re.escape(below)}({_OF_ALL}|{_OF_KIND.get(repo.kind, _OF_ALL)})")
        found.update(path for path in paths if index.fullmatch(path) or _OF_SITE.fullmatch(path))
    return found
