"""Reads public keys that stand in a file, not in a keyring: which can sign, and until when."""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from packrat_agent.gpg.listed_keys import ListedKey, ListedKeys, read_listing
from packrat_agent.gpg.run import run_gpg


@dataclass(frozen=True, slots=True)
class SigningPart:
    """A primary key or subkey that has the signing capability.

    `expires` is None if neither it nor its primary key expires. `wrong` says why its signatures don't count; None if
    they do.
    """

    fingerprint: str
    expires: datetime | None
    wrong: str | None


def read_public_keys(keys: bytes, now: datetime) -> tuple[SigningPart, ...]:
    """List the parts of public keys that sign.

    Args:
        keys: The public keys, armored or binary.
        now: The time at which they have to be valid.

    Raises:
        SigningError: gpg is not installed, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="packrat-verify-", ignore_cleanup_errors=True) as home:
        options = ("--with-colons", "--with-subkey-fingerprint", "--show-keys")
        listed = read_listing(run_gpg(Path(home), *options, data=keys).output.decode("utf-8", "replace"))
    return tuple(
        _judge(key, part, now)
        for key in listed
        for part in (key.primary, *key.subkeys)
        if "s" in part.capabilities and part.fingerprint
    )


def _judge(key: ListedKeys, part: ListedKey, now: datetime) -> SigningPart:
    ends = (key.primary.expires, part.expires)
    expires = min((end for end in ends if end is not None), default=None)
    wrong = None
    if "r" in (key.primary.validity, part.validity):
        wrong = "is revoked"
    elif expires is not None and expires <= now:
        wrong = f"expired on {expires:%Y-%m-%d}"
    return SigningPart(part.fingerprint, expires, wrong)
