"""Finds and tries, before anything is done, all keys that mirror.conf names: the main key and those of its sections."""

from datetime import UTC, datetime

import structlog

from packrat_agent.config.settings import Config, KeyNames, MirrorSettings
from packrat_agent.gpg.key_files import dearmor, join_keys
from packrat_agent.gpg.key_warnings import warn as warn_of_key
from packrat_agent.gpg.keyring import export_public, find_key, find_silent
from packrat_agent.gpg.rotation import NO_ROTATION, Rotation, SilentKey
from packrat_agent.gpg.signing_key import PublicKey, SigningKey
from packrat_agent.gpg.signing_keys import PreparedKey, SigningKeys
from packrat_agent.gpg.standalone_subkey import export_standalone
from packrat_core.errors import PackratError, SigningError

log = structlog.get_logger()


def find_keys(config: Config) -> SigningKeys:
    """Find and try every key; what clients refuse about one is logged.

    Raises:
        SigningError: A key can't be used; the message names its section, unless it is the main key.
    """
    names = config.mirror.keys
    # Who writes `none` knows it.
    if config.mirror.gpg_sign_key is None:
        text = "gpg_sign_key is not set: nothing will be signed, and clients must be told to trust it"
        if config.section_keys:
            text = "gpg_sign_key is not set in [mirror]: only repositories with a key of their own will be signed"
        log.warning("unsigned", text=text)
    # Several sections may name the same keys.
    prepared: dict[KeyNames, PreparedKey] = {}
    sections: dict[str, PreparedKey] = {}
    main = _prepare(config.mirror, names, prepared) if names is not None else None
    for section, keys in config.section_keys.items():
        try:
            sections[section] = _prepare(config.mirror, keys, prepared)
        except SigningError as error:
            raise type(error)(f"[{section}]: {error.message}", hint=error.hint) from error
    return SigningKeys(main, sections)


def are_renewed(config: Config, keys: SigningKeys) -> bool:
    """Tell whether the keyring has a signing key with other dates than it had, such as one that was extended.

    One that can't be used is not taken for renewed: what is signed next tells of it. Nor is one that would sign with
    another subkey now: clients have to get that first, so the operator says when. While another key can't be used,
    none is: an agent that works doesn't end for keys that it could not start with.

    Args:
        config: The configuration, which names the keys.
        keys: The keys as they were found.
    """
    named = [(config.mirror.keys, keys.main)]
    named += [(names, keys.of_sections.get(section)) for section, names in config.section_keys.items()]
    try:
        if not any(names and found and _is_renewed(config.mirror, names, found) for names, found in named):
            return False
    except PackratError:
        return False
    try:
        find_keys(config)
    except PackratError as error:
        text = "the keyring has new dates of a signing key; they are not in force until all keys can be used"
        log.warning("key", reason=str(error), text=text)
        return False
    return True


def _is_renewed(mirror: MirrorSettings, names: KeyNames, found: PreparedKey) -> bool:
    if _public(found.key, found.rotation).binary == found.public.binary:
        return False
    now = find_key(names.sign_key, mirror.gnupg_home, mirror.passphrase_file, datetime.now(UTC))
    return now.fingerprint == found.key.fingerprint


def _prepare(mirror: MirrorSettings, names: KeyNames, prepared: dict[KeyNames, PreparedKey]) -> PreparedKey:
    if names not in prepared:
        now = datetime.now(UTC)
        key = find_key(names.sign_key, mirror.gnupg_home, mirror.passphrase_file, now)
        _warn(key, now)
        rotation = _find_rotation(mirror, names, key, now)
        standalone = _for_images(key, rotation) if mirror.public_url else None
        prepared[names] = PreparedKey(key, _public(key, rotation), standalone, rotation)
    return prepared[names]


def _warn(key: SigningKey, now: datetime) -> None:
    for warning in warn_of_key(key, now):
        log.warning("key", fingerprint=key.fingerprint, text=warning)


def _find_rotation(mirror: MirrorSettings, names: KeyNames, key: SigningKey, now: datetime) -> Rotation:
    """Find the other keys of a rotation.

    Raises:
        SigningError: The next key can't be used, a former or retired one is not in the keyring, or one of them is the
            key that signs.
    """
    upcoming = None
    if names.next_key is not None:
        upcoming = _find_next(names.next_key, mirror, now)
        _refuse_same("gpg_next_key", (upcoming.fingerprint,), key)
        _warn(upcoming, now)
    former: SigningKey | SilentKey | None = None
    if names.former_key is not None:
        former = _find_former(mirror, names.former_key, now)
        fingerprints = former.fingerprints if isinstance(former, SilentKey) else (former.fingerprint,)
        _refuse_same("gpg_former_key", fingerprints, key)
    silent = [find_silent("gpg_retired_keys", name, mirror.gnupg_home) for name in sorted(names.retired_keys)]
    for retired in silent:
        _refuse_same("gpg_retired_keys", retired.fingerprints, key)
    if isinstance(former, SilentKey):
        return Rotation(upcoming, None, (former, *silent))
    return Rotation(upcoming, former, tuple(silent))


def _find_next(name: str, mirror: MirrorSettings, now: datetime) -> SigningKey:
    """Find the next key.

    Args:
        name: How mirror.conf names it.
        mirror: The section that has the keyring.
        now: The time at which it has to be valid.

    Raises:
        SigningError: It can't be used. The hint also says how to go on without it, since nothing is published until
        then.
    """
    try:
        return find_key(name, mirror.gnupg_home, mirror.passphrase_file, now, "gpg_next_key")
    except SigningError as error:
        give_up = "take gpg_next_key out of mirror.conf to give that key up"
        raise type(error)(error.message, hint=f"{error.hint}; or {give_up}" if error.hint else give_up) from error


def _find_former(mirror: MirrorSettings, name: str, now: datetime) -> SigningKey | SilentKey:
    """Find the former key; one that can't sign any more, since it has expired or its secret part is gone, is silent.

    Raises:
        SigningError: The keyring doesn't have it.
    """
    try:
        return find_key(name, mirror.gnupg_home, mirror.passphrase_file, now, "gpg_former_key")
    except SigningError as error:
        # What it has signed stays, and the new key signs. Only clients without that one are worse off.
        silent = find_silent("gpg_former_key", name, mirror.gnupg_home, error.message)
        text = "the former key does not sign any more: apt and image clients without the new key refuse the mirror"
        log.warning("key", former=name, reason=error.message, text=text)
        return silent


def _refuse_same(setting: str, fingerprints: tuple[str, ...], key: SigningKey) -> None:
    if key.fingerprint in fingerprints:
        raise SigningError(
            f"{setting} names {key.fingerprint}, which is the key that gpg_sign_key names",
            hint="see `packrat-agent key rotate` for which key belongs where",
        )


def _public(key: SigningKey, rotation: Rotation) -> PublicKey:
    """Put the keys that clients need into one file."""
    public = export_public(key)
    if rotation == NO_ROTATION:
        return public
    beside = [export_public(other).binary for other in (rotation.next, rotation.former) if other is not None]
    return join_keys([public.binary, *beside], [silent.public for silent in rotation.silent])


def _for_images(key: SigningKey, rotation: Rotation) -> bytes | None:
    """Write the keys by which a policy accepts images; None where the public key will do as it is."""
    beside = [other for other in (rotation.next, rotation.former) if other is not None]
    if not beside and not rotation.silent:
        return _export_standalone(key)
    exports = [_export_standalone(signer) or export_public(signer).armored for signer in (key, *beside)]
    return join_keys([dearmor(export) for export in exports]).armored


def _export_standalone(key: SigningKey) -> bytes | None:
    """Export a signing subkey as a key of its own; without it, only newer clients accept signatures of images."""
    if key.fingerprint == key.primary:
        return None
    try:
        return export_standalone(key)
    except SigningError as error:
        text = "most podman and skopeo won't accept the signatures of images; they would those of a primary key"
        log.warning("key", fingerprint=key.fingerprint, reason=str(error), text=text)
        return None
