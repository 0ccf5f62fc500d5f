"""Audits the public key itself: one that is expired or revoked is a fault, one that expires soon a warning."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from packrat_agent.gpg.public_keys import read_public_keys
from packrat_agent.verify.findings import KEY_ENDED, Fault, Finding, Warned
from packrat_core.errors import SigningError

_WARN_BEFORE = timedelta(days=30)


def audit_key_age(keys: bytes, path: str, now: datetime) -> Iterator[Finding]:
    """Audit the public keys that clients verify with; where gpg is not installed, gpgv judges each signature alone.

    Args:
        keys: The public keys.
        path: Where they stand, for messages.
        now: The time at which they have to be valid.
    """
    try:
        parts = read_public_keys(keys, now)
    except SigningError:
        return
    good = [part for part in parts if part.wrong is None]
    if not parts:
        yield Fault(path, "holds no key that can sign")
    elif not good:
        reasons = ", ".join(f"{part.fingerprint} {part.wrong}" for part in parts)
        yield Fault(path, f"{KEY_ENDED}: {reasons}")
    elif all(part.expires is not None and part.expires - now < _WARN_BEFORE for part in good):
        last = max(good, key=lambda part: part.expires or now)
        yield Warned(
            path,
            f"its key expires on {last.expires:%Y-%m-%d}; on the mirror, `packrat-agent key show` says how to extend "
            "it; then bring the new public key to the clients",
        )
