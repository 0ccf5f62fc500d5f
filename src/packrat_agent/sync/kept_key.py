"""Notes which key signs, and whether a public key that the operator keeps in root_dir is still that key's.

A `repo-key` in keep_file_list is not written by the agent. After the key was replaced or extended, clients that fetch
the kept one refuse the mirror, or soon will.
"""

from datetime import UTC, datetime
from pathlib import Path

import structlog

from packrat_agent.gpg.public_keys import read_public_keys
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.paths import is_kept
from packrat_agent.publish.landing_page import KEY_ARMORED, KEY_BINARY
from packrat_agent.state.facts import KeyInUse
from packrat_agent.sync.context import MirrorContext
from packrat_core.errors import SigningError
from packrat_core.fs.open import read_regular

log = structlog.get_logger()

_KEY_LIMIT = 16 * 1024 * 1024


def note_key(context: MirrorContext, *, at_start: bool) -> None:
    """Remember the signing key for `status` and `check`; at a start, also warn of a kept public key that is not its.

    Args:
        context: The mirror.
        at_start: Log what is wrong.

    Raises:
        DiskError: The state database can't be written.
    """
    key = context.key
    if key is None:
        context.store.facts.write(KeyInUse(None))
        return
    stale = _find_stale(context, key)
    if stale is not None and at_start:
        log.warning("key", fingerprint=key.fingerprint, text=stale)
    expires = key.expires.timestamp() if key.expires else None
    context.store.facts.write(KeyInUse(key.fingerprint, key.algorithm, key.bits, expires, stale))


def _find_stale(context: MirrorContext, key: SigningKey) -> str | None:
    for name in (KEY_ARMORED, KEY_BINARY):
        if is_kept(name, context.kept) and (wrong := _find_wrong(context.root / name, key)) is not None:
            return (
                f"{name}, which keep_file_list keeps, {wrong}: clients that fetch it refuse what is signed with "
                f"{key.fingerprint}; export the key anew (`gpg --armor --export {key.primary}`), or remove {name} from "
                "keep_file_list, and the agent writes it"
            )
    return None


def _find_wrong(path: Path, key: SigningKey) -> str | None:
    """Say what is wrong with a kept public key; None if nothing is, or if there is none."""
    try:
        parts = read_public_keys(read_regular(path, _KEY_LIMIT), datetime.now(UTC))
    except FileNotFoundError:
        return None
    except (OSError, SigningError):
        return "can't be read as a public key"
    found = next((part for part in parts if part.fingerprint == key.fingerprint), None)
    if found is None:
        return "is not the signing key's"
    return f"says that the signing key {found.wrong}" if found.wrong is not None else None
