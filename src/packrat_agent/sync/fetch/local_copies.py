"""Stages files that need no download: left in staging by an earlier process, copied in the tree, or held in memory.

with LocalCopies(plan, staging, root) as copies:
    found, looked_at = copies.stage(placements)   # URI → SHA-256 → staged file
"""

import os
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Self

from packrat_agent.model.entries import Placement, Plan
from packrat_agent.sync.fetch.staging import link_or_copy
from packrat_core.fs.atomic import write_new
from packrat_core.fs.links import open_directory, remove_any
from packrat_core.fs.open import open_descriptor
from packrat_core.fs.verified import hash_descriptor

_PORTION_BYTES = 64 * 1024 * 1024
"""After so many bytes a portion ends: the thread that hashes them can't be stopped."""
_making = Lock()
"""Held while a file is made in staging: threads that do that in one directory keep the system busy with waiting."""


class LocalCopies:
    """Files at hand; the directory of the last copy stays open, since the next one mostly stands in it, too."""

    def __init__(self, plan: Plan, staging: Path, root: Path, largest: int = sys.maxsize) -> None:
        """Look for files without the server.

        Args:
            plan: What is missing of a file, and where copies are.
            staging: The staging directory.
            root: Top of the tree.
            largest: Bytes of the largest file that may be one of them.
        """
        self._plan = plan
        self._staging = staging
        self._root = root
        self._largest = largest
        self._open = ExitStack()
        self._entered: tuple[str, int] | None = None
        self._hashed_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def stage(self, placements: Sequence[Placement]) -> tuple[dict[str, dict[str, Path]], int]:
        """Stage the files that are at hand, and of a linked one the parts that are not in place.

        Args:
            placements: The files.

        Returns:
            URI → SHA-256 → staged file of those that were found, and how many were looked for: all, or the first ones
            where these are so large that nothing else should wait for the rest.
        """
        found: dict[str, dict[str, Path]] = {}
        for count, placement in enumerate(placements):
            if self._hashed_bytes >= _PORTION_BYTES:
                return found, count
            file = placement.file
            missing = self._plan.missing.get(file.uri)
            staged = self._stage_all(set(missing.values())) if missing is not None else None
            if staged is None:
                # One of the parts is gone.
                staged = self._stage_all((file.sha256,))
            if staged is not None:
                found[file.uri] = staged
        return found, len(placements)

    def _stage_all(self, sha256s: Collection[str]) -> dict[str, Path] | None:
        """Stage some files; None if one of them is not at hand."""
        found: dict[str, Path] = {}
        for sha256 in sha256s:
            staged = self._stage_one(sha256)
            if staged is None:
                return None
            found[sha256] = staged
        return found

    def _stage_one(self, sha256: str) -> Path | None:
        target = self._staging / sha256
        # As text below, since there may be very many small files, and pathlib takes as long as the kernel.
        staged = str(target)
        if os.path.lexists(staged):
            # A crash may have left a damaged file, and anybody anything, so verify before use.
            with suppress(OSError):
                if self._is_of(sha256, staged):
                    return target
            remove_any(target)
        held = self._plan.held.get(sha256)
        if held is not None:
            # All are flushed together before one is published.
            with _making:
                write_new(target, [held], flush=False)
            return target
        place = self._plan.sources.get(sha256)
        if place is None:
            return None
        parent, _, name = place.rpartition("/")
        # A copy in the tree is only an optimization: if it can't be used, the file is downloaded.
        with suppress(OSError):
            directory = self._enter(parent)
            descriptor, status = open_descriptor(name, directory)
            try:
                if self._has_digest(descriptor, status.st_size, sha256):
                    # Package files may share parts, as images do layers, and another task may have been quicker.
                    with suppress(FileExistsError):
                        _link_or_copy(name, directory, target)
                    # Another file may have taken the name since the hash.
                    if os.path.samestat(os.lstat(staged), status) or self._is_of(sha256, staged):
                        return target
                    remove_any(target)
            finally:
                os.close(descriptor)
        return None

    def _enter(self, parent: str) -> int:
        if self._entered is None or self._entered[0] != parent:
            self._entered = None
            self._open.close()
            descriptor = self._open.enter_context(open_directory(self._root, parent, crosses_mounts=True))
            self._entered = parent, descriptor
        return self._entered[1]

    def _is_of(self, sha256: str, path: str) -> bool:
        descriptor, status = open_descriptor(path)
        try:
            return self._has_digest(descriptor, status.st_size, sha256)
        finally:
            os.close(descriptor)

    def _has_digest(self, descriptor: int, size: int, sha256: str) -> bool:
        # Anybody may have put a file there that takes days to hash.
        if size > self._largest:
            return False
        self._hashed_bytes += size
        return hash_descriptor(descriptor, size)[0] == sha256


def _link_or_copy(name: str, directory: int, target: Path) -> None:
    """Stage a copy that is called `name` in an open directory.

    Raises:
        FileExistsError: A staged file is there already.
        OSError: It can't be made.
    """
    try:
        with _making:
            os.link(name, target, src_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        link_or_copy(Path(f"/proc/self/fd/{directory}/{name}"), target)
