"""Stages files that are at hand: those that an earlier process left in staging, and copies in the tree."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from packrat_agent.model.entries import Parts
from packrat_agent.sync.staging import link_or_copy
from packrat_core.fs.links import open_directory, remove_any
from packrat_core.fs.open import open_regular


def find_parts(missing: Parts, sources: Mapping[str, str], staging: Path, root: Path) -> dict[str, Path] | None:
    """Stage the parts of a package file that are not in place.

    Args:
        missing: These parts.
        sources: SHA-256 → a copy in the tree.
        staging: The staging directory.
        root: Top of the tree.

    Returns:
        SHA-256 → staged part; None if one of them is gone.
    """
    found: dict[str, Path] = {}
    for sha256 in set(missing.values()):
        staged = find_local(sha256, sources.get(sha256), staging, root)
        if staged is None:
            return None
        found[sha256] = staged
    return found


def find_local(sha256: str, source_path: str | None, staging: Path, root: Path) -> Path | None:
    """Stage a file without the server.

    Args:
        sha256: Its SHA-256.
        source_path: Where a copy may stand in the tree; None for nowhere.
        staging: The staging directory.
        root: Top of the tree.

    Returns:
        The staged file; None if there is no copy with these bytes.
    """
    target = staging / sha256
    if os.path.lexists(target):
        # A crash may have left a damaged file, and anybody anything, so verify before use.
        with suppress(OSError):
            if _is_of(sha256, target):
                return target
        remove_any(target)
    if source_path is None:
        return None
    parent, _, name = source_path.rpartition("/")
    # A copy in the tree is only an optimization: if it can't be used, the file is downloaded.
    with suppress(OSError), open_directory(root, parent, crosses_mounts=True) as directory:
        source = Path(f"/proc/self/fd/{directory}/{name}")
        with open_regular(source) as file:
            if _has_digest(file, sha256):
                # Package files may share parts, as images do layers, and another task may have been quicker.
                with suppress(FileExistsError):
                    link_or_copy(source, target)
                # Another file may have taken the name since the hash.
                if os.path.samestat(target.lstat(), os.fstat(file.fileno())) or _is_of(sha256, target):
                    return target
                remove_any(target)
    return None


def _is_of(sha256: str, path: Path) -> bool:
    with open_regular(path) as file:
        return _has_digest(file, sha256)


def _has_digest(file: BufferedReader, sha256: str) -> bool:
    return hashlib.file_digest(file, "sha256").hexdigest() == sha256
