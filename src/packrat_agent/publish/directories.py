"""Goes through the directories below root_dir one after the other, and keeps those on the way to the last one open.

A publication may have some thousand directories beside each other, each with a file or two. From one to the next only
the last name is looked up, in the descriptor of the directory above it:

    with OpenDirectories(root) as directories:
        directories.enter("pypi/simple/first")
        os.rename(spare, "index.html", dst_dir_fd=directories.enter("pypi/simple/second"))
        os.unlink("index.html", dir_fd=directories.find(["pypi", "simple", "third"]))

1. No link is followed: `enter` replaces it by a directory, `find` fails.
2. No other filesystem is entered.
3. A directory that was moved away since is left: what is put into it, or removed from it, would be somebody else's.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import split_path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OPEN_MODE = 0o755
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
        self._seen = [os.fstat(self._open[0])]

    def __enter__(self) -> Self:
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
        with as_disk_error("make the directory", f"{self._root}/{relative}"):
            for name in self._leave(split_path(relative)):
                self._add(name, *_open_or_make(name, self._open[-1], is_above_new=self.is_new))
        return self._open[-1]

    def find(self, parts: Sequence[str]) -> int:
        """Go to a directory that is there.

        Args:
            parts: the names on the way to it, from root_dir on.

        Returns:
            Its descriptor, which is open until another directory is entered.

        Raises:
            OSError: it does not exist; a part of it is a link, not a directory or of another filesystem.
        """
        for name in self._leave(parts):
            self._add(name, os.open(name, _DIRECTORY, dir_fd=self._open[-1]), is_made=False)
        return self._open[-1]

    def _leave(self, parts: Sequence[str]) -> Sequence[str]:
        """Close the directories that are not on the way to another one; gives the names that are left of that way."""
        same = 0
        for part, name in zip(parts, self._names, strict=False):
            if part != name or not self._is_in_place(same):
                break
            same += 1
        while len(self._names) > same:
            os.close(self._open.pop())
            self._seen.pop()
            self._names.pop()
            self._made.pop()
        return parts[same:]

    def _add(self, name: str, descriptor: int, is_made: bool) -> None:
        """Go on to a directory that is open, in the last one."""
        seen = os.fstat(descriptor)
        if seen.st_dev != self._seen[0].st_dev:
            os.close(descriptor)
            raise OSError(errno.EXDEV, "is another filesystem", "/".join((str(self._root), *self._names, name)))
        if is_made and seen.st_mode & _OPEN_MODE != _OPEN_MODE:
            try:
                # A default ACL above takes the place of the mode that it was made with.
                os.fchmod(descriptor, stat.S_IMODE(seen.st_mode) | _OPEN_MODE)
            except OSError:
                # Somebody has put their own there in its place.
                os.close(descriptor)
                raise
        self._open.append(descriptor)
        self._seen.append(seen)
        self._names.append(name)
        self._made.append(is_made)

    def _is_in_place(self, number: int) -> bool:
        """Tell whether a directory on the way is still what its name stands for in the one above it."""
        try:
            found = os.stat(self._names[number], dir_fd=self._open[number], follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, self._seen[number + 1])


def _open_or_make(name: str, above: int, *, is_above_new: bool) -> tuple[int, bool]:
    """Open a directory, and tell whether it was made for that.

    Args:
        name: its name.
        above: the descriptor of the directory that it is in.
        is_above_new: whether that was made a moment ago, so that this one most likely has to be made, too.
    """
    if is_above_new:
        with suppress(FileExistsError):
            os.mkdir(name, _OPEN_MODE, dir_fd=above)
            return os.open(name, _DIRECTORY, dir_fd=above), True
    try:
        return os.open(name, _DIRECTORY, dir_fd=above), False
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _NO_DIRECTORY:
            raise
        os.unlink(name, dir_fd=above)
    os.mkdir(name, _OPEN_MODE, dir_fd=above)
    return os.open(name, _DIRECTORY, dir_fd=above), True
