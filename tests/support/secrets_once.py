"""Hashes each secret of a test server once: a hash takes long on purpose, and was a third of the time of small tests.

Only right secrets are remembered: a wrong one takes as long as ever, and a server in a process of its own remembers
nothing.
"""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from packrat_server.accounts import passwords

PSK = passwords.new_password()
"""That of the mirror of every stage in this process."""
_SALT = secrets.token_bytes(16)


class _Memory:
    """Hashes of the secrets that this process has stored."""

    def __init__(self) -> None:
        self.is_storing = False
        self._hash = hashlib.scrypt
        self._salts = {_SALT, passwords.UNMATCHED[: len(_SALT)]}
        self._known: dict[tuple[bytes, bytes], bytes] = {}

    def hash(self, password: bytes, *, salt: bytes, n: int, r: int, p: int, dklen: int) -> bytes:
        """Do as hashlib.scrypt."""
        asked = password, salt
        if asked in self._known:
            return self._known[asked]
        made = self._hash(password, salt=salt, n=n, r=r, p=p, dklen=dklen)
        # A salt is first used to store a secret; a check, of a right secret or a wrong one, comes later.
        if self.is_storing or salt not in self._salts:
            self._salts.add(salt)
            self._known[asked] = made
        return made


_memory = _Memory()


def remember_secrets() -> None:
    """Hash no secret again that was stored by this process."""
    hashlib.scrypt = _memory.hash  # type: ignore[assignment] # passwords.py calls it so


@contextmanager
def one_salt() -> Iterator[None]:
    """Store the same hash of a secret each time."""
    same = SimpleNamespace(token_bytes=lambda _: _SALT, choice=secrets.choice)
    with patch.object(passwords, "secrets", same):
        _memory.is_storing = True
        try:
            yield
        finally:
            _memory.is_storing = False
