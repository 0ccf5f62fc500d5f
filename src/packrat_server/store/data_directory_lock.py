"""Tells a server whether others serve the same data directory.

Every server holds a shared lock on the file `serving` in the data directory. A server that starts first tries for the
exclusive lock: with it, it may remove files that no record names, since nobody else is taking uploads in.

Source: flock(2).
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class DataDirectoryLock:
    """A server's lock on its data directory, until it is released or the process ends.

    While `is_alone`, no other server serves the directory, and one that starts waits for `share`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._descriptor = os.open(data_dir / "serving", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self.is_alone = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_alone = True
        except OSError:
            self.share()

    def share(self) -> None:
        """Let other servers serve the directory, too."""
        self.is_alone = False
        # On a filesystem without locks no server can know that it is alone, so none ever removes files.
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Stop serving the directory."""
        os.close(self._descriptor)
