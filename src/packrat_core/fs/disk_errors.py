"""Raises DiskError in place of an OSError, with what was done to which path and what to do next."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_core.errors import DiskError
from packrat_core.fs.ownership import explain_denied

_WHAT_TO_DO = {
    errno.ENOSPC: "make room on that filesystem; the last published state stays served",
    errno.EDQUOT: "raise the quota or make room; the last published state stays served",
    errno.EROFS: "remount it writable; the last published state stays served",
    errno.EACCES: "give this user access to it",
    errno.EPERM: "give this user access to it",
    errno.EXDEV: "it is another filesystem: root_dir must be one filesystem without mount points inside",
    errno.EIO: "check the disk and its logs",
}


@contextmanager
def as_disk_error(doing: str, path: Path | str) -> Iterator[None]:
    """Raise DiskError in place of an OSError.

    Args:
        doing: What is done, as it follows "can't": "write", "make the directory".
        path: What it is done to; where the error names a path below it, the message names that one.

    Raises:
        DiskError: The body raised an OSError.
    """
    try:
        yield
    except OSError as error:
        failed = error.filename
        where = failed if isinstance(failed, str) and failed.startswith(f"{path}/") else path
        hint = _WHAT_TO_DO.get(error.errno or 0, "see the message of the system")
        if error.errno in (errno.EACCES, errno.EPERM):
            hint = explain_denied(Path(where)) or hint
        raise DiskError(f"can't {doing} {where}: {error.strerror or error}", hint=hint) from error
