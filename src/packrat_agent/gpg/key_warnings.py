"""Warns of what known clients refuse about a signing key, and of what will stop working soon."""

from datetime import datetime, timedelta

from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.signing_key import KeyKind, SigningKey

_WARN_BEFORE = timedelta(days=30)


def warn(key: SigningKey, now: datetime) -> tuple[str, ...]:
    """Say what known clients refuse about a key, and what will stop working soon."""
    found: list[str] = []
    if key.expires is not None and key.expires - now < _WARN_BEFORE:
        found.append(
            f"the key expires on {key.expires:%Y-%m-%d}; extend it with {key.extension}, and bring the new public "
            "key to the clients"
        )
    hints = GpgHints(key.home, key.passphrase_file)
    if key.weak_digest:
        renew = hints.sign_itself_again(key.primary, "2y" if key.primary_ends else "0")
        found.append(
            f"the key's signature on itself uses {key.weak_digest}, which {_refusers(key.weak_digest)}; "
            f"renew it with {renew}, and bring the new public key to the clients"
        )
    if key.weak_binding and key.fingerprint != key.primary:
        found.append(
            f"the key's signature on its subkey uses {key.weak_binding}, which {_refusers(key.weak_binding)}; "
            f"add another with {hints.add_signing_subkey(key.primary)}, and bring the new public key to the clients"
        )
    refusals = [_refusal(kind) for kind in key.kinds]
    found += refusals[:1]
    found += [f"the primary key: {text}" for text in refusals[1:] if text not in ("", refusals[0])]
    return tuple(filter(None, found))


def _refusers(digest: str) -> str:
    return "Debian 13 and RHEL 9 refuse" if digest in ("MD5", "SHA-1") else "Debian 13 refuses"


def _refusal(kind: KeyKind) -> str:
    """Say which known clients refuse keys of a kind; '' if none does."""
    if kind.algorithm == "DSA" or (kind.algorithm == "RSA" and kind.bits < 2048):
        return f"{kind.name} is refused by Debian 13 and later; make a new key"
    if kind.algorithm == "RSA" and kind.bits < 3072:
        return f"{kind.name} will be refused by Debian from 2030 on; plan a new key"
    if kind.algorithm == "EdDSA":
        return "EdDSA is refused by RHEL 8 and Ubuntu 16.04; where there are such clients, use an RSA-3072 key"
    if kind.algorithm == "ECDSA" and not kind.curve.startswith("nistp"):
        return f"{kind.name} is refused by Debian 13 and later, and by most versions of rpm; make a new key"
    if kind.algorithm == "ECDSA":
        # rpm's own reader of OpenPGP has no ECDSA; that of Sequoia has.
        where = "rpm in Debian 12, RHEL 8 and 9 and SLES 15, and by Ubuntu 16.04"
        return f"{kind.name} is refused by {where}; where there are such clients, use an RSA-3072 key"
    return ""
