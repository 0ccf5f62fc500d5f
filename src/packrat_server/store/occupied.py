"""Tells a server whether others serve the same data directory.

Takes: the data directory.
Gives: whether this server is alone.
Touches: `serving` in the data directory, by its lock.

Source: flock(2).
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Occupied:
    """A server's place in a data directory, until it leaves or its process ends.

    `alone`: nobody else serves it, and who comes meanwhile waits until `let_others_in`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._descriptor = os.open(data_dir / "serving", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self.alone = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.alone = True
        except OSError:
            self.let_others_in()

    def let_others_in(self) -> None:
        """Go on serving beside others."""
        self.alone = False
        # A filesystem without locks: nobody is ever alone there.
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Stop serving."""
        os.close(self._descriptor)
