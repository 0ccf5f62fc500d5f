"""Tells a server whether others serve the same data directory.

Every server holds a shared lock on the file `serving` in the data directory. A server that starts first tries for the
exclusive lock: with it, it may remove files that no record names, since nobody else is taking uploads in.

Source: flock(2).
"""

from contextlib import suppress
from pathlib import Path

from packrat_core.fs.locks import FileLock


class DataDirectoryLock:
    """A server's lock on its data directory, until it is released or the process ends.

    While `is_alone`, no other server serves the directory, and one that starts waits for `share`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lock = FileLock(data_dir / "serving")
        try:
            self.is_alone = self._lock.try_exclusive()
        except OSError:
            # A filesystem without locks: no server knows that it is alone there.
            self.is_alone = False
        if not self.is_alone:
            self.share()

    def share(self) -> None:
        """Let other servers serve the directory, too."""
        self.is_alone = False
        # On a filesystem without locks no server can know that it is alone, so none ever removes files.
        with suppress(OSError):
            self._lock.share()

    def release(self) -> None:
        """Stop serving the directory."""
        self._lock.release()
