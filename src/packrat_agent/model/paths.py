"""Names what stands where below root_dir.

Takes: a repository, paths of it, the operator's keep files.
Gives: paths relative to root_dir.
Touches: nothing.
"""

from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from packrat_agent.model.records import Repo


def path_in_root(repo: Repo, path: str) -> str:
    """Say where a path of the repository stands below `root_dir`."""
    return f"{repo.directory}/{path}" if repo.directory else path


def kept_paths(root: Path, keep_files: Iterable[Path]) -> frozenset[str]:
    """Name the operator's keep files relative to `root`; those elsewhere need no keeping."""
    return frozenset(str(path.relative_to(root)) for path in keep_files if path.is_relative_to(root))


def is_kept(path: str, kept: Collection[str]) -> bool:
    """Say whether `path` is a keep file, or lies below a kept directory."""
    return path in kept or any(str(parent) in kept for parent in PurePosixPath(path).parents)
