"""Makes passwords and psks, and hashes them with a salt so that only their owner knows them.

Source: RFC 7914 (scrypt).
"""

import hashlib
import hmac
import secrets
import string

_SALT_BYTES = 16
_HASH_BYTES = 32
_PASSWORD_LENGTH = 20

UNMATCHED = bytes(_SALT_BYTES + _HASH_BYTES)
"""A stored hash that no secret matches; checking against it takes as long as against a real one."""


def new_password() -> str:
    """Generate a password or psk that nobody can guess."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_PASSWORD_LENGTH))


def hash_secret(secret: str) -> bytes:
    """Salt and hash a password or psk."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt + _scrypt(secret, salt)


def matches(secret: str, stored: bytes) -> bool:
    """Check a password or psk against its stored hash, in constant time."""
    return hmac.compare_digest(_scrypt(secret, stored[:_SALT_BYTES]), stored[_SALT_BYTES:])


def _scrypt(secret: str, salt: bytes) -> bytes:
    # Half characters may come from JSON; they hash like any other text and match nothing that is stored.
    return hashlib.scrypt(secret.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=_HASH_BYTES)
