"""Builds paths below root_dir, and tells which of them the operator keeps."""

from collections.abc import Collection, Iterable
from pathlib import Path

from packrat_agent.model.records import Repo

PAGE_DIR = "repo-page"
"""The directory, in root_dir, of what belongs to the landing page."""


def path_in_root(repo: Repo, path: str) -> str:
    """Turn a path of the repository into one that is relative to `root_dir`."""
    return f"{repo.directory}/{path}" if repo.directory else path


def are_nested(directory: str, other: str) -> bool:
    """Tell whether two directories are the same, or one lies in the other."""
    return f"{directory}/".startswith(f"{other}/") or f"{other}/".startswith(f"{directory}/")


def kept_paths(root: Path, keep_files: Iterable[Path]) -> frozenset[str]:
    """List the operator's keep files relative to `root`, without those that are elsewhere."""
    return frozenset(str(path.relative_to(root)) for path in keep_files if path.is_relative_to(root))


def is_kept(path: str, kept: Collection[str]) -> bool:
    """Tell whether `path` is a keep file, or is below a kept directory."""
    # A full sync asks for each package file; pathlib would take most of its time.
    while path:
        if path in kept:
            return True
        path = path.rpartition("/")[0]
    return "." in kept


def is_kept_or_around(path: str, kept: Collection[str]) -> bool:
    """Tell whether `path` is kept, or what is kept lies below it, so that no file may take the place of `path`."""
    return is_kept(path, kept) or any(keep.startswith(f"{path}/") for keep in kept)
