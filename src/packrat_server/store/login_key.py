"""The key that proofs of logins are hashed with: a file in the data directory, which no copy of the database has."""

import os
import secrets
from pathlib import Path

from packrat_core.fs.open import open_given

_BYTES = 32


def read_login_key(data_dir: Path) -> bytes:
    """Read the key, and make it where there is none; without it, proofs of before count for nothing.

    Raises:
        OSError: It can't be read or made.
    """
    path = data_dir / "login-key"
    for _ in range(2):
        try:
            key = _read(path)
            if len(key) == _BYTES:
                return key
            path.unlink()
        except FileNotFoundError:
            pass
        part = path.with_name(f"login-key-{secrets.token_hex(4)}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        try:
            # If several servers start at once, the first one's is the key.
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    with open_given(path) as file:
        # One byte more shows that the file holds something other than a key.
        return file.read(_BYTES + 1)
