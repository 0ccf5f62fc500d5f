"""Tells whether mirror.conf has changed since an agent read it, by a hash of its text.

The text holds the psk, which somebody may have chosen and others could guess: so the hash has a salt and is slow. It is
not scrypt, which hosts in FIPS mode don't have.
"""

import hashlib
import os
from functools import lru_cache

from packrat_agent.config.settings import Config

_ROUNDS = 20_000


def describe_version(config: Config) -> str:
    """Describe the version that was read, to be kept."""
    # As `secrets` makes it, whose import takes longer than this module's work; monitoring waits for it every minute.
    salt = os.urandom(16).hex()
    return f"{salt} {_hash(config.text, salt)} {config.source.absolute()}"


def is_changed(config: Config, described: str) -> bool:
    """Tell whether the text that was read now is another one than described; False where it is of another file."""
    salt, _, rest = described.partition(" ")
    hashed, _, source = rest.partition(" ")
    return source == str(config.source.absolute()) and hashed != _hash(config.text, salt)


@lru_cache(maxsize=4)
def _hash(text: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), salt.encode(), _ROUNDS).hex()
