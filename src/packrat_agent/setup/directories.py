"""Makes the agent's directories with the owner and mode that they need, without following a link."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from packrat_agent.publish.claim import HARMLESS
from packrat_agent.setup.account import Account
from packrat_core.errors import ConfigError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.ownership import user_name


@dataclass(frozen=True, slots=True)
class OwnDirectory:
    """A directory, and the mode that it is made with; `closed`: one that others may enter is not good enough."""

    path: Path
    mode: int
    closed: bool = False

    def is_made(self, account: Account | None) -> bool:
        """Tell whether it is there and belongs to the agent's user."""
        try:
            found = self.path.lstat()
        except OSError:
            return False
        if account is None or not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
            return False
        return not (self.closed and found.st_mode & 0o077)

    def check(self, account: Account | None) -> None:
        """Make sure that it can be made, or be given to the agent's user.

        Args:
            account: The agent's user; None if it does not exist yet.

        Raises:
            ConfigError: Something else stands there, or files of another user do, or it can't be reached.
            DiskError: It can't be looked at.
        """
        with as_disk_error("look at", self.path):
            self._check(account)

    def _check(self, account: Account | None) -> None:
        for above in _existing_parents(self.path):
            if not above.is_dir():
                raise ConfigError(f"{above} is not a directory, so {self.path} can't be made", hint="give another path")
            owns = account is not None and above.stat().st_uid == account.uid
            if not owns and not above.stat().st_mode & stat.S_IXOTH:
                raise ConfigError(
                    f"others may not go through {above}, so the agent could not reach {self.path}",
                    hint=f"give another path, or `chmod o+x {quote(str(above))}`",
                )
        if not os.path.lexists(self.path) or self.is_made(account):
            return
        if self.path.is_symlink() or not self.path.is_dir():
            raise ConfigError(f"{self.path} is not a directory", hint="give another path, or remove it")
        owner = self.path.stat().st_uid
        holds_more = any(path.name not in HARMLESS for path in self.path.iterdir())
        if holds_more and (account is None or owner != account.uid):
            who = account.name if account is not None else "the agent's user"
            raise ConfigError(
                f"{self.path} belongs to {user_name(owner)} and is not empty",
                hint=f"give another path, or give it to {who}: `chown -R` it",
            )

    def make(self, account: Account) -> None:
        """Make the directory, or give an empty one to the agent's user.

        Raises:
            DiskError: It can't be made.
        """
        with as_disk_error("make the directory", self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not self.path.is_dir():
                self.path.mkdir(mode=0o700)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.geteuid() != account.uid:
                    os.fchown(descriptor, account.uid, account.gid)
                os.fchmod(descriptor, self.mode)
            finally:
                os.close(descriptor)


def _existing_parents(path: Path) -> Iterator[Path]:
    return (parent for parent in reversed(path.parents) if os.path.lexists(parent))
