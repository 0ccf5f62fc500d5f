"""Tells a server whether others serve the same data directory.

Takes: the data directory.
Gives: whether this server is alone.
Touches: `serving` in the data directory, by its lock.

Source: flock(2).
"""

from contextlib import suppress
from pathlib import Path

from packrat_core.fs.locks import FileLock


class Occupied:
    """A server's place in a data directory, until it leaves or its process ends.

    `alone`: nobody else serves it, and who comes meanwhile waits until `let_others_in`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lock = FileLock(data_dir / "serving", 0o600)
        self.alone = False
        try:
            self.alone = self._lock.try_exclusive()
        except OSError:
            # A filesystem without locks: nobody is known to be alone there.
            self.alone = False
        if not self.alone:
            self.let_others_in()

    def let_others_in(self) -> None:
        """Go on serving beside others."""
        self.alone = False
        # A filesystem without locks: nobody is ever alone there.
        with suppress(OSError):
            self._lock.share()

    def leave(self) -> None:
        """Stop serving."""
        self._lock.release()
