"""Makes, changes and removes paths without following a symbolic link.

Somebody who may write below a directory can put a link in the way at any moment. A link is replaced or removed, and
what it points to stays as it is:

    ensure_directory(root, "apt/pool")   # a link named `apt` is replaced by a directory
    remove_tree(root / "apt")            # a link below it is unlinked
"""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from packrat_core.fs.disk_errors import as_disk_error


def ensure_directory(root: Path, relative: str) -> Path:
    """Make the directory `relative` below `root`, with its parents; a link or file in its way is removed.

    Raises:
        DiskError: A directory can't be made.
    """
    directory = root
    for part in Path(relative).parts:
        directory = directory / part
        with as_disk_error("make the directory", directory):
            try:
                mode = directory.lstat().st_mode
            except FileNotFoundError:
                directory.mkdir(mode=0o755)
                continue
            if not stat.S_ISDIR(mode):
                directory.unlink()
                directory.mkdir(mode=0o755)
    return directory


def remove_tree(path: Path) -> None:
    """Remove a directory and everything below it.

    Raises:
        DiskError: Something below it can't be removed.
    """
    with as_disk_error("remove", path):
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                Path(entry.path).unlink()
        path.rmdir()


def change_mode(path: Path, choose: Callable[[int], int | None]) -> None:
    """Set the permissions of a file or directory.

    Args:
        path: What to change; a link that replaces it meanwhile is not followed.
        choose: Maps the present mode, file type included, to the permissions to set, or to None to leave them.

    Raises:
        OSError: It does not exist, or belongs to another user.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        wanted = choose(os.fstat(descriptor).st_mode)
        if wanted is not None:
            # fchmod refuses a descriptor opened with O_PATH; chmod of its name in /proc works. Source: open(2).
            Path(f"/proc/self/fd/{descriptor}").chmod(wanted)
    finally:
        os.close(descriptor)


def link_digest(target: str) -> str:
    """Compute what the agent remembers of a symbolic link to `target` where it remembers the SHA-256 of a file."""
    return hashlib.sha256(f"-> {target}".encode()).hexdigest()
