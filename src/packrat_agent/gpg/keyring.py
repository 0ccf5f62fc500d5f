"""Finds the operator's signing key in a GnuPG keyring."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from packrat_agent.gpg.agent_program import explain_no_agent
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.listed_keys import ListedKey, ListedKeys, find_weak_digest, list_keys, list_signatures
from packrat_agent.gpg.rotation import SilentKey
from packrat_agent.gpg.run import check_passphrase_file, run_gpg
from packrat_agent.gpg.signatures import explain_closed_home, try_key
from packrat_agent.gpg.signing_key import KeyKind, PublicKey, SigningKey
from packrat_core.errors import Expired, NotYetValid, PackratError, SigningError

log = structlog.get_logger()

_ID_LENGTHS = (8, 16, 40)
_ALGORITHMS = {"1": "RSA", "3": "RSA", "17": "DSA", "19": "ECDSA", "22": "EdDSA"}
_USES = {"c": "certify", "e": "encrypt", "a": "authenticate"}
"""Capabilities as gpg lists them, besides `s`, sign."""


def find_key(
    name: str, home: Path | None, passphrase_file: Path | None, now: datetime, setting: str = "gpg_sign_key"
) -> SigningKey:
    """Find the key that is meant, and try it.

    A primary key signs with its newest signing subkey, or by itself; so does a subkey that can't sign (many
    instructions tell people to configure the encryption subkey's id).

    Args:
        name: Short id, long id or fingerprint of a primary key or a subkey.
        home: The directory of the keyring; None for this user's own.
        passphrase_file: Holds the passphrase of the key; None for a key without one.
        now: The time at which the key has to be valid.
        setting: The key of mirror.conf that names it, for messages.

    Raises:
        SigningError: The key is missing, expired, revoked, locked or can't sign.
    """
    if passphrase_file is not None:
        check_passphrase_file(passphrase_file)
    found, named = _find_one(setting, name, home)
    hints = GpgHints(home, passphrase_file)
    chosen = _choose(found, named, now, hints)
    if chosen.fingerprint != named:
        part = "primary key" if chosen is found.primary else "signing subkey"
        log.info("key", configured=name, signs_with=chosen.fingerprint, text=f"the {part} of the same key")
    listing, kind = list_signatures(home, found.primary.fingerprint), _kind_of(chosen)
    key = SigningKey(
        fingerprint=chosen.fingerprint,
        primary=found.primary.fingerprint,
        user=found.user,
        algorithm=kind.algorithm,
        bits=kind.bits,
        expires=_expiry(found.primary, chosen),
        created=datetime.fromtimestamp(max(found.primary.created_s, chosen.created_s), UTC),
        home=home,
        passphrase_file=passphrase_file,
        extension=hints.extend(
            found.primary.fingerprint, {part.fingerprint: part.expires for part in (found.primary, chosen)}
        ),
        primary_ends=found.primary.expires is not None,
        kinds=(kind,) if chosen is found.primary else (kind, _kind_of(found.primary)),
        weak_digest=find_weak_digest(listing, found.primary.fingerprint, found.primary.fingerprint),
        weak_binding=find_weak_digest(listing, found.primary.fingerprint, chosen.fingerprint),
    )
    try_key(key)
    return key


def find_parts(setting: str, name: str, home: Path | None, now: datetime) -> tuple[str, str]:
    """Find the primary key that is meant, and its part that signs, whether they are valid or not.

    Args:
        setting: The key of mirror.conf that names it, for messages.
        name: Short id, long id or fingerprint of a primary key or a subkey.
        home: The directory of the keyring; None for this user's own.
        now: The time at which a part has to be valid to be preferred.

    Returns:
        The fingerprints of both, the same where the primary key signs.

    Raises:
        SigningError: The keyring doesn't have it, or more than one.
    """
    found, named = _find_one(setting, name, home)
    try:
        signs = _choose(found, named, now, GpgHints(home))
    except SigningError:
        parts = [part for part in found.subkeys if "s" in part.capabilities]
        newest = max(parts, key=lambda part: part.created_s, default=found.primary)
        signs = next((part for part in parts if part.fingerprint == named), newest)
    return found.primary.fingerprint, signs.fingerprint


def find_silent(setting: str, name: str, home: Path | None, reason: str = "") -> SilentKey:
    """Find the public part of a key that no longer signs.

    Args:
        setting: The key of mirror.conf that names it, for messages.
        name: Short id, long id or fingerprint; that of a primary key stands for all its subkeys, too.
        home: The directory of the keyring; None for this user's own.
        reason: Why it does not sign though it should; '' if it need not.

    Raises:
        SigningError: The keyring doesn't have it, or more than one.
    """
    wanted = _read_id(setting, name, home)
    _check_home(home)
    matches = _matches(list_keys(home, secret=False), wanted)
    if len(matches) != 1:
        what = "fits more than one key" if matches else "is not in the keyring"
        hint = "give the whole fingerprint" if matches else f"import its public key, or take it out of {setting}"
        raise SigningError(f"{setting} {name} {what}", hint=hint)
    found, named = matches[0]
    fingerprints = found.fingerprints if named == found.primary.fingerprint else (named,)
    return SilentKey(name, fingerprints, export_public_of(found.primary.fingerprint, home).binary, reason)


def export_public(key: SigningKey) -> PublicKey:
    """Export the public key without the signatures of others.

    Raises:
        SigningError: gpg does not export it.
    """
    return export_public_of(key.primary, key.home)


def export_public_of(primary: str, home: Path | None) -> PublicKey:
    """Export a public key by the fingerprint of its primary key, without the signatures of others.

    Raises:
        SigningError: gpg does not export it.
    """
    export = ("--export-options", "export-minimal", "--export", primary)
    armored = run_gpg(home, "--armor", *export).output
    binary = run_gpg(home, *export).output
    if not armored or not binary:
        raise SigningError(
            f"gpg did not export the public key {primary}", hint="check whether this user may read the keyring"
        )
    return PublicKey(armored, binary)


def _read_id(setting: str, name: str, home: Path | None) -> str:
    """Read a key id as it is written in mirror.conf.

    Args:
        setting: The key of mirror.conf, for messages.
        name: Its value.
        home: The directory of the keyring, for messages.

    Raises:
        SigningError: It is not a key id.
    """
    wanted = name.replace(" ", "").removeprefix("0x").upper()
    if len(wanted) not in _ID_LENGTHS or any(c not in "0123456789ABCDEF" for c in wanted):
        raise SigningError(
            f"{setting} {name!r} is not a key id",
            hint=f"give the 8, 16 or 40 hex digits that {GpgHints(home).list_secret_keys()} shows",
        )
    return wanted


def _check_home(home: Path | None) -> None:
    """Raises: SigningError if the directory of the keyring is missing or closed."""
    # Unlike Path.is_dir, this also says no if a directory on the way is closed.
    if home is None or os.path.isdir(home):
        return
    why = explain_closed_home(home)
    if why is not None:
        raise SigningError(f"gnupg_home {home} can't be used: {why}")
    raise SigningError(f"gnupg_home {home} is not a directory", hint="correct gnupg_home, or import the key there")


def _find_one(setting: str, name: str, home: Path | None) -> tuple[ListedKeys, str]:
    """Find the one key that has a part of that name, and the fingerprint of the part.

    Raises:
        SigningError: The keyring has none, or several, or can't be used.
    """
    wanted = _read_id(setting, name, home)
    _check_home(home)
    matches = _matches(list_keys(home, secret=True), wanted)
    if not matches:
        raise _explain_missing(setting, wanted, home)
    if len(matches) > 1:
        raise SigningError(f"{setting} {name} fits more than one key", hint="give the whole fingerprint")
    return matches[0]


def _matches(keys: Sequence[ListedKeys], wanted: str) -> list[tuple[ListedKeys, str]]:
    """Find the fingerprints that end with `wanted`, each with the key that it belongs to."""
    return [(key, fingerprint) for key in keys for fingerprint in key.fingerprints if fingerprint.endswith(wanted)]


def _explain_missing(setting: str, wanted: str, home: Path | None) -> PackratError:
    where = f"the keyring in {home}" if home else "the default keyring of this user"
    closed = explain_closed_home(home)
    if closed is not None:
        return SigningError(f"{setting} {wanted} is not found in {where}: {closed}")
    if (no_agent := explain_no_agent(home)) is not None:
        return no_agent
    if _matches(list_keys(home, secret=False), wanted):
        return SigningError(
            f"{setting} {wanted} is in {where}, but without its secret part",
            hint=f"import the secret key ({GpgHints(home).import_keys('secret-key.asc')}), or set gnupg_home",
        )
    return SigningError(
        f"{setting} {wanted} is not in {where}",
        hint=f"see {GpgHints(home).list_secret_keys()}, import the key, or set gnupg_home",
    )


def _choose(key: ListedKeys, named: str, now: datetime, hints: GpgHints) -> ListedKey:
    """Choose the key or subkey to sign with.

    Args:
        key: What the keyring has.
        named: The fingerprint that the operator configured; if it can sign, it is chosen.
        now: The time at which it has to be valid.
        hints: Writes commands for the keyring.

    Raises:
        SigningError: The primary key or the named subkey is not valid, or nothing of the key can sign.
    """
    primary = key.primary
    # The secret part of a primary key may be kept offline while its subkeys sign.
    reason = primary.why_unusable(now, primary.fingerprint, hints)
    if reason is not None and primary.has_secret:
        raise _error_of((primary,), now)(f"the signing key {primary.fingerprint} {reason}")
    signing = [subkey for subkey in key.subkeys if "s" in subkey.capabilities]
    # If a subkey is named, no other one takes its place, not even when it has expired.
    for subkey in signing:
        if subkey.fingerprint == named:
            reason = subkey.why_unusable(now, primary.fingerprint, hints)
            if reason is not None:
                raise _error_of((subkey,), now)(f"the signing key {named} {reason}")
            return subkey
    usable = [subkey for subkey in signing if subkey.why_unusable(now, primary.fingerprint, hints) is None]
    if usable:
        return max(usable, key=lambda subkey: subkey.created_s)
    if "s" in primary.capabilities and primary.why_unusable(now, primary.fingerprint, hints) is None:
        return primary
    raise _explain_unable(key, now, hints)


def _explain_unable(key: ListedKeys, now: datetime, hints: GpgHints) -> SigningError:
    """Say of each part of a key what it may be used for, and why it does not sign.

    Args:
        key: What the keyring has.
        now: The time at which it has to be valid.
        hints: Writes commands for the keyring.
    """
    primary = key.primary.fingerprint
    parts = [_explain_part("the primary key", key.primary, primary, now, hints)]
    parts += [_explain_part("the subkey", subkey, primary, now, hints) for subkey in key.subkeys]
    return _error_of((key.primary, *key.subkeys), now)(
        f"key {primary} can't sign: {', '.join(parts)}",
        hint=f"add a subkey that may sign with {hints.add_signing_subkey(primary)}, or name another key",
    )


def _error_of(parts: Sequence[ListedKey], now: datetime) -> type[SigningError]:
    """Choose the error for parts of a key that can't sign now: whether the clock alone may be why."""
    if any(part.is_made_after(now) for part in parts):
        return NotYetValid
    return Expired if any(part.is_expired(now) for part in parts) else SigningError


def _explain_part(what: str, part: ListedKey, primary: str, now: datetime, hints: GpgHints) -> str:
    """Say what a part of a key may be used for, and why it does not sign.

    Args:
        what: What to call it.
        part: The primary key or a subkey.
        primary: The fingerprint of the primary key.
        now: The time at which it has to be valid.
        hints: Writes commands for the keyring.
    """
    if "s" in part.capabilities:
        return f"{what} {part.fingerprint} may sign, but {part.why_unusable(now, primary, hints)}"
    uses = [use for letter, use in _USES.items() if letter in part.capabilities]
    return (
        f"{what} {part.fingerprint} may only {' and '.join(uses)}" if uses else f"{what} {part.fingerprint} has no use"
    )


def _kind_of(part: ListedKey) -> KeyKind:
    return KeyKind(_ALGORITHMS.get(part.algorithm, f"algorithm {part.algorithm}"), part.bits, part.curve)


def _expiry(primary: ListedKey, chosen: ListedKey) -> datetime | None:
    """A subkey does not outlive its primary key."""
    return min((key.expires for key in (primary, chosen) if key.expires is not None), default=None)
