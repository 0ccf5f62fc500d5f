"""Goes through the directories below root_dir one after the other, and keeps the way to the last one open.

A publication may have some thousand directories beside each other, each with a file or two. From one to the next only
the last name is looked up, in the descriptor of the directory above it:

    with OpenDirectories(root) as directories:
        directories.enter("pypi/simple/first")
        os.rename(spare, "index.html", dst_dir_fd=directories.enter("pypi/simple/second"))

No link is followed: one that stands in the way is replaced by a directory.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import split_path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NO_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)
"""What opening a file or a link in the place of a directory gives."""


class OpenDirectories:
    """The directory that was entered last, and those above it."""

    def __init__(self, root: Path) -> None:
        """Begin at root_dir.

        Raises:
            DiskError: it can't be opened.
        """
        self._root = root
        self._names: list[str] = []
        self._made: list[bool] = []
        with as_disk_error("read", root):
            self._open = [os.open(root, os.O_RDONLY | os.O_DIRECTORY)]

    def __enter__(self) -> "OpenDirectories":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        while self._open:
            os.close(self._open.pop())

    @property
    def is_new(self) -> bool:
        """Whether the last directory was made when it was entered, so that nothing was there."""
        return bool(self._made) and self._made[-1]

    def enter(self, relative: str) -> int:
        """Go to a directory, and make it with its parents where they are missing.

        Args:
            relative: its path, relative to root_dir.

        Returns:
            Its descriptor, which is open until another directory is entered.

        Raises:
            DiskError: it can't be made.
        """
        parts = split_path(relative)
        same = 0
        for part, name in zip(parts, self._names, strict=False):
            if part != name:
                break
            same += 1
        while len(self._names) > same:
            os.close(self._open.pop())
            self._names.pop()
            self._made.pop()
        for part in parts[same:]:
            with as_disk_error("make the directory", f"{self._root}/{relative}"):
                descriptor, made = _enter(part, self._open[-1], is_above_new=self.is_new)
            self._open.append(descriptor)
            self._names.append(part)
            self._made.append(made)
        return self._open[-1]


def _enter(name: str, above: int, *, is_above_new: bool) -> tuple[int, bool]:
    """Open a directory, and tell whether it was made for that.

    Args:
        name: its name.
        above: the descriptor of the directory that it is in.
        is_above_new: whether that was made a moment ago, so that this one most likely has to be made, too.
    """
    if is_above_new:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=above)
            return os.open(name, _DIRECTORY, dir_fd=above), True
    try:
        return os.open(name, _DIRECTORY, dir_fd=above), False
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _NO_DIRECTORY:
            raise
        os.unlink(name, dir_fd=above)
    os.mkdir(name, 0o755, dir_fd=above)
    return os.open(name, _DIRECTORY, dir_fd=above), True
