"""Finds and tries, before anything is done, all keys that mirror.conf names: the main key and those of its sections."""

from datetime import UTC, datetime

import structlog

from packrat_agent.config.settings import Config
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.keyring import warn as warn_of_key
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.signing_keys import PreparedKey, SigningKeys
from packrat_agent.gpg.standalone_subkey import export_standalone
from packrat_core.errors import SigningError

log = structlog.get_logger()


def find_keys(config: Config) -> SigningKeys:
    """Find and try every key; what clients refuse about one is logged.

    Raises:
        SigningError: A key can't be used; the message names its section, unless it is the main key.
    """
    name = config.mirror.gpg_sign_key
    if not name and not config.section_keys:
        text = "gpg_sign_key is not set: nothing will be signed, and clients must be told to trust it"
        log.warning("unsigned", text=text)
    elif not name:
        text = "gpg_sign_key is not set in [mirror]: only repositories with a key of their own will be signed"
        log.warning("unsigned", text=text)
    # Several sections may name the same key.
    prepared: dict[str, PreparedKey] = {}
    sections: dict[str, PreparedKey] = {}
    main = _prepare(config, name, prepared) if name else None
    for section, key in config.section_keys.items():
        try:
            sections[section] = _prepare(config, key, prepared)
        except SigningError as error:
            raise SigningError(f"[{section}]: {error.message}", hint=error.hint) from error
    return SigningKeys(main, sections)


def _prepare(config: Config, name: str, prepared: dict[str, PreparedKey]) -> PreparedKey:
    if name not in prepared:
        mirror, now = config.mirror, datetime.now(UTC)
        key = find_key(name, mirror.gnupg_home, mirror.passphrase_file, now)
        for warning in warn_of_key(key, now):
            log.warning("key", fingerprint=key.fingerprint, text=warning)
        standalone = _export_standalone(key) if mirror.public_url else None
        prepared[name] = PreparedKey(key, export_public(key), standalone)
    return prepared[name]


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
