"""The values that stand for the operator's key."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key that signs: `fingerprint` is that of the key or subkey itself, `primary` that of the primary key.

    Both can sign from `created` on. `weakly_certified`: the newest signature of the key on itself uses SHA-1 or MD5.
    `extension`: the command that extends what expires first; '' if nothing does. `primary_ends`: the primary key
    expires.
    """

    fingerprint: str
    primary: str
    user: str
    algorithm: str
    bits: int
    expires: datetime | None
    created: datetime
    home: Path | None
    passphrase_file: Path | None
    weakly_certified: bool = False
    extension: str = ""
    primary_ends: bool = True


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public key without the signatures of others, in both forms."""

    armored: bytes
    binary: bytes
