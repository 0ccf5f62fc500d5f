"""Keeps what belongs to a package file on disk as long as the package file, whatever the state database knows of it.

The signatures of an image belong to its manifest, and a metadata file to its wheel. The rules:

1. What belongs to a withdrawn file is not removed before it.
2. An untracked file that belongs to a file of this mirror counts as withdrawn, not as untracked: a crash in the middle
   of a publication, or an older state database, leaves such files unknown.
3. So is an index of the original agent that ours doesn't write: its clients may be about to read it.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping

import structlog

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.state.facts import TakeoverUnderWay
from packrat_agent.state.store import Store
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.takeover.original_places import keeps_path
from packrat_core.fs.file_times import mtime_ns
from packrat_core.fs.inodes import inode
from packrat_core.fs.open import read_regular

log = structlog.get_logger()

_SIZE_LIMIT = 64 * 1024 * 1024


def find_owners(store: Store, paths: Iterable[str]) -> Mapping[str, str]:
    """Map path → the package file that it belongs to, of those that belong to one; all relative to root_dir."""
    repos = _by_directory(store)
    owners = {}
    for path in paths:
        repo = _repo_of(path, repos)
        if repo is not None and repo.kind in FORMATS:
            owner = FORMATS[repo.kind].owner(path.removeprefix(path_in_root(repo, "")))
            if owner is not None:
                owners[path] = path_in_root(repo, owner)
    return owners


def _by_directory(store: Store) -> dict[str, Repo]:
    return {repo.directory: repo for repo in store.repos.all()}


def _repo_of(path: str, repos: Mapping[str, Repo]) -> Repo | None:
    """Find the repository that a path lies in, by its directory; no repository lies in another one.

    A mirror may have thousands of repositories, and far more untracked files.
    """
    directory = path
    while directory:
        directory, _, _ = directory.rpartition("/")
        if directory in repos:
            return repos[directory]
    return None


def without_needed(store: Store, paths: Iterable[str]) -> list[str]:
    """Leave out the paths that belong to a withdrawn file that is still here."""
    every = list(paths)
    owners = find_owners(store, every)
    withdrawn = store.live.withdrawn_of(owners.values())
    return [path for path in every if owners.get(path) not in withdrawn]


def owned_last(store: Store, paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split paths into those that belong to no package file, and the others, which go after them."""
    every = list(paths)
    owners = find_owners(store, every)
    return [path for path in every if path not in owners], [path for path in every if path in owners]


def take_for_withdrawn(context: MirrorContext, untracked: Iterable[str]) -> frozenset[str]:
    """Remember those of the untracked files that are to stay for a while, as withdrawn now; gives their paths.

    Raises:
        DiskError: The state database can't be written.
    """
    live = context.store.live
    every = list(untracked)
    owners = find_owners(context.store, every)
    ours = live.known_of(owners.values())
    reasons = {path: f"belongs to {owner}" for path, owner in owners.items() if owner in ours}
    repos = _by_directory(context.store)
    if context.store.facts.read(TakeoverUnderWay) is not None:
        reasons |= dict.fromkeys(_find_original_indexes(repos, every), "is an index of the original agent")
    taken: dict[str, list[StoredFile]] = {}
    for path, reason in reasons.items():
        found = _look(context, path)
        repo = _repo_of(path, repos)
        if found is not None and repo is not None:
            taken.setdefault(repo.name, []).append(found)
            log.info("untracked", path=path, text=f"{reason}; it is removed after the grace period")
    for name, files in taken.items():
        live.adopt_withdrawn(name, files, time.time())
    return frozenset(file.path for files in taken.values() for file in files)


def _find_original_indexes(repos: Mapping[str, Repo], paths: Iterable[str]) -> list[str]:
    return [
        path
        for path in paths
        if (repo := _repo_of(path, repos)) is not None
        and keeps_path(repo.kind, path.removeprefix(path_in_root(repo, "")))
    ]


def _look(context: MirrorContext, path: str) -> StoredFile | None:
    file = context.root / path
    try:
        content = read_regular(file, _SIZE_LIMIT)
        status = file.lstat()
    except OSError:
        return None
    digest = hashlib.sha256(content).hexdigest()
    return StoredFile(path, digest, len(content), mtime_ns(status), inode(status))
