"""The values that stand for the operator's key."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeyKind:
    """What kind a key or subkey is; `curve` is '' for RSA and DSA, which go by their `bits`."""

    algorithm: str
    bits: int
    curve: str = ""

    @property
    def name(self) -> str:
        """The algorithm with its curve or bits."""
        return f"{self.algorithm}-{self.curve or self.bits}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key that signs: `fingerprint` is that of the key or subkey itself, `primary` that of the primary key.

    Both can sign from `created` on. `extension`: the command that extends what expires first; '' if nothing does.
    `primary_ends`: the primary key expires. `kinds`: that of the part that signs, and of its primary key if that is
    another. `weak_digest`: the hash in the newest signature of the key on itself if clients refuse it, else '';
    `weak_binding`: that in the newest one on the subkey that signs.
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
    extension: str = ""
    primary_ends: bool = True
    kinds: tuple[KeyKind, ...] = ()
    weak_digest: str = ""
    weak_binding: str = ""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public key without the signatures of others, in both forms."""

    armored: bytes
    binary: bytes
