"""Writes the gpg commands that messages advise, so that each works when somebody pastes it into a shell.

    GpgHints(home, passphrase_file).add_signing_subkey(primary)
    # `sudo -u packrat gpg --homedir /var/lib/packratAgent/gnupg --batch … --quick-add-key 8BFE… rsa3072 sign 2y`

1. A command names the keyring's directory: the reader who pastes it has another one.
2. It runs gpg as the user whose keyring it is. As root, gpg would leave files there that the agent can't read.
3. It asks for a passphrase only where the agent doesn't know it.

Source: gpg(1), sudo(8), runuser(1), setpriv(1).
"""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from shlex import join, quote

from packrat_agent.gpg.run import read_home
from packrat_core.fs.ownership import user_name

_ROOT = 0
_TOGETHER = timedelta(days=30)
"""What expires this soon after the part that expires first is extended with it."""


@dataclass(frozen=True, slots=True)
class GpgHints:
    """The commands for one keyring.

    Attributes:
        home: Its directory; None for this user's own.
        passphrase_file: Holds the passphrase of its keys; None if they have none.
    """

    home: Path | None
    passphrase_file: Path | None = None

    def extend(self, primary: str, ends: Mapping[str, datetime | None]) -> str:
        """Extend the parts of a key that expire first; '' if none expires.

        Args:
            primary: The fingerprint of the primary key.
            ends: Fingerprint → when that part expires, of the primary key and the part that signs.
        """
        moments = [end for end in ends.values() if end is not None]
        due = [part for part, end in ends.items() if end is not None and end <= min(moments) + _TOGETHER]
        # gpg takes no subkey for the primary key.
        parts = [() if part == primary else (part,) for part in due]
        commands = [self._gpg(*self._unlock(), "--quick-set-expire", primary, "2y", *part) for part in parts]
        return f"`{' && '.join(commands)}`" if commands else ""

    def sign_itself_again(self, primary: str, lifetime: str) -> str:
        """Renew a key's signature on itself.

        Args:
            primary: The fingerprint of the primary key.
            lifetime: When it expires, as gpg spells it.
        """
        digest = ("--cert-digest-algo", "SHA512")
        return f"`{self._gpg(*self._unlock(), *digest, '--quick-set-expire', primary, lifetime)}`"

    def enable(self, primary: str) -> str:
        """Enable a key that was disabled."""
        return f"`{self._gpg('--batch', '--edit-key', primary, 'enable', 'save')}`"

    def add_signing_subkey(self, primary: str) -> str:
        """Add a subkey that signs."""
        # Without an empty one, gpg asks for a passphrase for the subkey.
        unlock = self._unlock() or ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
        return f"`{self._gpg(*unlock, '--quick-add-key', primary, 'rsa3072', 'sign', '2y')}`"

    def list_secret_keys(self) -> str:
        """List the secret keys and their subkeys."""
        return f"`{self._gpg('--list-secret-keys', '--with-subkey-fingerprint')}`"

    def import_keys(self, file: str, *, is_encrypted: bool = False) -> str:
        """Import keys from a file, which the keyring's user need not be able to read."""
        command = self._gpg("--batch", "--import")
        return f"`gpg --decrypt {quote(file)} | {command}`" if is_encrypted else f"`{command} < {quote(file)}`"

    def export_secret_keys(self, fingerprints: Iterable[str]) -> str:
        """Write secret keys to stdout."""
        return self._gpg(*self._unlock(), "--armor", "--export-secret-keys", *fingerprints)

    def delete(self, primary: str) -> str:
        """Delete a key, its secret part too."""
        return f"`{self._gpg('--batch', '--yes', '--delete-secret-and-public-key', primary)}`"

    def end_agent(self) -> str:
        """End gpg-agent; gpg starts a new one."""
        home = read_home(self.home)
        return f"`{join([*_as_owner(home), 'gpgconf', '--homedir', str(home), '--kill', 'gpg-agent'])}`"

    def sign(self, fingerprint: str) -> str:
        """Sign an empty text with exactly this key."""
        command = self._gpg(*self._unlock(), "--local-user", f"{fingerprint}!", "--clear-sign")
        return f"`{command} < /dev/null`"

    def _unlock(self) -> tuple[str, ...]:
        if self.passphrase_file is None:
            return ()
        return ("--batch", "--pinentry-mode", "loopback", "--passphrase-file", str(self.passphrase_file))

    def _gpg(self, *arguments: str) -> str:
        home = read_home(self.home)
        return join([*_as_owner(home), "gpg", "--homedir", str(home), *arguments])


def _as_owner(home: Path) -> tuple[str, ...]:
    """Give the words that run a command as the user whose keyring it is; none where the reader is that user."""
    owner = os.geteuid()
    with suppress(OSError):
        owner = home.stat().st_uid
    # The reader of a service's log is unknown. If the keyring is root's, it is usually root.
    if owner == _find_reader(unknown=_ROOT):
        return ()
    name = user_name(owner)
    # A container may run as a user that its /etc/passwd doesn't have: runuser finds none, and sudo takes it with a `#`.
    has_name = not name.isdecimal()
    if shutil.which("sudo"):
        return ("sudo", "-u", name if has_name else f"#{owner}")
    # Without sudo, administrators are root.
    return ("runuser", "-u", name, "--") if has_name else ("setpriv", f"--reuid={owner}", "--clear-groups", "--")


def _find_reader(*, unknown: int) -> int:
    """Find the user at this process's terminal, which programs such as su and sudo don't change."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError, AttributeError):
            return os.stat(os.ttyname(stream.fileno())).st_uid  # type: ignore[union-attr] # None is suppressed
    return unknown
