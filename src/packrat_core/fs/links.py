"""Makes, changes and removes paths without following a symbolic link.

Somebody who may write below a directory can put a link in the way at any moment. A link is replaced or removed, and
what it points to stays as it is:

    ensure_directory(root, "apt/pool")   # a link named `apt` is replaced by a directory
    remove_tree(root / "apt")            # a link below it is unlinked
    with open_directory(root, "apt") as directory:
        os.unlink("name", dir_fd=directory)   # a link that replaces `apt` now changes nothing
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.mounts import is_mount_point

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def ensure_directory(root: Path, relative: str) -> Path:
    """Make the directory `relative` below `root`, with its parents; a link or file in its way is removed.

    Raises:
        DiskError: A directory can't be made.
    """
    # As text: a pool may have many thousands of directories, and pathlib takes longer than the kernel.
    directory = os.fspath(root)
    for part in split_path(relative):
        directory = os.path.join(directory, part)
        with as_disk_error("make the directory", directory):
            try:
                mode = os.lstat(directory).st_mode
            except FileNotFoundError:
                os.mkdir(directory, 0o755)
                continue
            if not stat.S_ISDIR(mode):
                os.unlink(directory)
                os.mkdir(directory, 0o755)
    return Path(directory)


def split_path(relative: str) -> list[str]:
    """Give the names that a path consists of."""
    return [part for part in relative.split("/") if part not in ("", ".")]


@contextmanager
def open_directory(root: Path, relative: str, *, crosses_mounts: bool = False, lists: bool = True) -> Iterator[int]:
    """Open the directory `relative` below `root`, to work in it by its descriptor whatever becomes of its path.

    Args:
        root: A directory.
        relative: What is opened; '' or `.` for `root` itself.
        crosses_mounts: Whether it may be of another filesystem, such as to read there.
        lists: Whether its names will be listed; to open some of them, the permission to search it will do.

    Raises:
        OSError: It does not exist; a part of it is a link, not a directory or, without `crosses_mounts`, of another
            filesystem.
    """
    flags = os.O_DIRECTORY | os.O_CLOEXEC | (os.O_RDONLY if lists else os.O_PATH)
    descriptor = os.open(root, flags)
    try:
        device = os.fstat(descriptor).st_dev
        for part in split_path(relative):
            below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
            if not crosses_mounts and os.fstat(descriptor).st_dev != device:
                raise OSError(errno.EXDEV, "is another filesystem", str(root / relative))
        yield descriptor
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a directory and everything below it, however deep that is, but nothing of what is mounted there.

    Raises:
        DiskError: Something below it can't be removed, or something is mounted there.
    """
    with as_disk_error("remove", path):
        remove_directory(os.fspath(path))


def remove_directory(name: str, parent: int | None = None) -> None:
    """Remove a directory and everything below it; `parent` is the descriptor of the directory that holds it.

    Raises:
        OSError: Something below it can't be removed, or something is mounted there.
    """
    top = _open_to_clear(name, parent)
    try:
        waiting = _clear(top)
        while waiting:
            inside = waiting.pop()
            below = _open_to_clear(inside, top)
            try:
                for deeper in _clear(below):
                    waiting += _bring_up(deeper, below, top)
            finally:
                os.close(below)
            os.rmdir(inside, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _open_to_clear(name: str, parent: int | None) -> int:
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        if is_mount_point(descriptor):
            raise OSError(errno.EXDEV, "something is mounted there", name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _bring_up(name: str, directory: int, top: int) -> list[str]:
    """Move a directory to the top of the tree that is removed; gives its new name there.

    shutil.rmtree needs a frame and a descriptor for each level, and anybody can plant more levels than there are of
    these.
    """
    new = os.urandom(16).hex()
    try:
        os.rename(name, new, src_dir_fd=directory, dst_dir_fd=top)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # So overlayfs says of a directory that is in one of its lower layers.
        remove_directory(name, directory)
        return []
    return [new]


def _clear(directory: int) -> list[str]:
    """Remove all from an open directory but directories that are not empty; gives the names of these."""
    left = []
    with os.scandir(directory) as entries:
        listed = list(entries)
    for entry in listed:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
            continue
        try:
            os.rmdir(entry.name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            left.append(entry.name)
    return left


def remove_any(path: Path) -> None:
    """Remove what stands at a path, if anything does; a link is unlinked, a directory goes with everything below it.

    Raises:
        DiskError: It can't be removed.
    """
    with as_disk_error("remove", path):
        try:
            path.unlink()
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            # A directory gives EISDIR on Linux, EPERM by POSIX.
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise
            remove_tree(path)


def change_mode(path: Path | str, choose: Callable[[int], int | None], directory: int | None = None) -> None:
    """Set the permissions of a file or directory.

    Args:
        path: What to change; a link in its place is not followed.
        directory: The descriptor of the directory that `path` is a name in; None for a path as usual.
        choose: Maps the present mode, file type included, to the permissions to set, or to None to leave them.

    Raises:
        OSError: It does not exist, or belongs to another user.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
    try:
        wanted = choose(os.fstat(descriptor).st_mode)
        if wanted is not None:
            # fchmod refuses a descriptor opened with O_PATH; chmod of its name in /proc works. Source: open(2).
            Path(f"/proc/self/fd/{descriptor}").chmod(wanted)
    finally:
        os.close(descriptor)


def link_digest(target: str) -> str:
    """Compute what the agent remembers of a symbolic link to `target` where it remembers the SHA-256 of a file."""
    # Who may write to root_dir can make one that leads to a name which is not UTF-8.
    return hashlib.sha256(f"-> {target}".encode(errors="surrogateescape")).hexdigest()
