"""Raises DiskError in place of an OSError, with what was done to which path and what to do next."""

import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path

from packrat_core.errors import DiskError
from packrat_core.fs.ownership import explain_denied

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where there is no room: on the filesystem, or for this user or directory."""
_WHAT_TO_DO = {
    errno.ENOSPC: "free space on that filesystem; what clients get stays as it is",
    errno.EDQUOT: "raise the quota or free some space; what clients get stays as it is",
    errno.EROFS: "remount it writable, or name it in ReadWritePaths of the unit; what clients get stays as it is",
    errno.EACCES: "give this user access to it",
    errno.EPERM: "give this user access to it",
    errno.EXDEV: "it is another filesystem: root_dir must be one filesystem without mount points inside",
    errno.EBUSY: "something is mounted there, or uses it: unmount that, or give another path",
    errno.EIO: "check the disk and its logs",
    errno.ELOOP: "it is a link that leads round in a circle, or one where none may be: remove it, or give another path",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ENOENT: "make it, or give another path",
    errno.ENOTDIR: "a part of the path is not a directory: move that away, or give another path",
    errno.EISDIR: "move the directory away, or give another path",
    errno.EEXIST: "move what is there away, or give another path",
    errno.ENXIO: "it is a pipe or a socket: give a file",
    errno.EINVAL: "give the path of a file or directory as it has to be there",
    errno.EMFILE: "let this process open more files at once (`LimitNOFILE=` of a unit, `ulimit -n`)",
    errno.ENFILE: "let this system open more files at once (`sysctl fs.file-max`), or find out what opens so many",
}
_OF_ONE_PATH = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EXDEV, errno.EBUSY, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
    }
)
"""What is refused for the path: who owns it, or what somebody has put there or taken away. Other paths may be well."""

_NO_INODES = "that filesystem has no inodes left, as `df -i` shows: remove files there; what clients get stays as it is"


def as_disk_error(doing: str, path: Path | str) -> AbstractContextManager[None]:
    """Raise DiskError in place of an OSError.

    Args:
        doing: What is done, as it follows "can't": "write", "make the directory".
        path: What it is done to; where the error names a path below it, the message names that one.

    Raises:
        DiskError: The body raised an OSError.
    """
    return _AsDiskError(doing, path)


class _AsDiskError(AbstractContextManager[None]):
    """The context of `as_disk_error`; a generator would cost three times as much, several times for each file."""

    __slots__ = ("_doing", "_path")

    def __init__(self, doing: str, path: Path | str) -> None:
        self._doing = doing
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            failed = error.filename
            where = failed if isinstance(failed, str) and failed.startswith(f"{self._path}/") else self._path
            raise _tell(self._doing, where, error) from error


def explain_os_error(error: OSError) -> DiskError | None:
    """Say what the system refused, of an error that no other code has explained; None where it is not of the disk."""
    if isinstance(error.filename, str | bytes):
        return _tell("use", os.fsdecode(error.filename), error)
    if error.errno in (*FULL, errno.EROFS, errno.EFBIG, errno.EIO):
        # Imported here: monitoring calls the programs every minute.
        import tempfile

        hint = f"look at the filesystems of the paths that this command uses, also at {tempfile.gettempdir()}"
        return DiskError(f"can't write a file: {error.strerror}", hint=hint)
    if error.errno == errno.ENOENT and "temporary directory" in (error.strerror or ""):
        return DiskError(f"can't make a file: {error.strerror}", hint="free space in one of them, or set TMPDIR")
    return None


def _tell(doing: str, where: Path | str, error: OSError) -> DiskError:
    hint = _WHAT_TO_DO.get(error.errno or 0, "see the message of the system")
    if error.errno == errno.ENOSPC and not _has_inodes(where):
        hint = _NO_INODES
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = explain_denied(Path(where)) or hint
    path = os.fspath(where) if error.errno in _OF_ONE_PATH else ""
    return DiskError(f"can't {doing} {where}: {error.strerror or error}", hint=hint, path=path)


def _has_inodes(where: Path | str) -> bool:
    """Tell whether a filesystem has inodes left, where that can be seen."""
    for path in (Path(where), *Path(where).parents):
        try:
            room = os.statvfs(path)
        except OSError:
            continue
        # Some filesystems have no fixed number of inodes, and say 0 of 0.
        return room.f_files == 0 or room.f_favail > 0
    return True
