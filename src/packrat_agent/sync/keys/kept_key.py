"""Notes which keys sign, and whether a public key that the operator keeps in root_dir is still that key's.

A `repo-key` in keep_file_list is not written by the agent. Where nobody has exported it, clients find no key. After the
key was replaced or extended, clients that fetch the kept one refuse the mirror, or soon will.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from packrat_agent.gpg.public_keys import read_public_keys
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.signing_keys import PreparedKey
from packrat_agent.model.key_places import MAIN_KEY, KeyPlace
from packrat_agent.model.paths import is_kept
from packrat_agent.model.records import Repo
from packrat_agent.state.facts import KeyInUse
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.keys.note_rotation import with_rotation
from packrat_core.errors import SigningError
from packrat_core.fs.open import read_regular

log = structlog.get_logger()

_KEY_LIMIT = 16 * 1024 * 1024


def note_keys(context: MirrorContext, *, at_start: bool, is_published: bool = False) -> None:
    """Remember the signing keys for `status` and `check`.

    Args:
        context: The mirror.
        at_start: Log what is wrong: a kept public key that is not its, or a section that is of no repository.
        is_published: A full sync has just published all that the keys sign.

    Raises:
        DiskError: The state database can't be written.
    """
    keys, facts, repos = context.keys, context.store.facts, context.store.repos.all()
    published_at = time.time() if is_published else None
    in_use = KeyInUse(None)
    if keys.main is not None:
        in_use = _describe(keys.main.key, _find_stale(context, keys.main, MAIN_KEY))
        before = facts.read(KeyInUse)
        kept = _count_kept(context, keys.main, [repo for repo in repos if keys.section_of(repo) is None])
        in_use = with_rotation(in_use, keys.main, before, kept, published_at)
        if at_start:
            _warn(keys.main.key, in_use.stale)
    facts.write(in_use)
    unused = keys.unused(repos)
    found = {}
    for section, prepared in keys.of_sections.items():
        own = [repo for repo in repos if keys.section_of(repo) == section]
        places = [keys.place_of(repo) for repo in own]
        stale = [text for place in places if (text := _find_stale(context, prepared, place)) is not None]
        text = f"[{section}] in mirror.conf is of no repository of this mirror: its key signs nothing"
        in_use = replace(_describe(prepared.key, next(iter(stale), None)), unused=text if section in unused else None)
        before = facts.section_key(section)
        in_use = with_rotation(in_use, prepared, before, _count_kept(context, prepared, own), published_at)
        if at_start:
            _warn(prepared.key, in_use.stale)
            _warn(prepared.key, in_use.unused)
        found[section] = in_use
    facts.write_section_keys(found)


def _count_kept(context: MirrorContext, prepared: PreparedKey, repos: Sequence[Repo]) -> int:
    return context.store.fragments.made_by_others(prepared.key.fingerprint, [repo.name for repo in repos])


def _describe(key: SigningKey, stale: str | None) -> KeyInUse:
    expires = key.expires.timestamp() if key.expires else None
    return KeyInUse(key.fingerprint, key.algorithm, key.bits, expires, stale)


def _warn(key: SigningKey, stale: str | None) -> None:
    if stale is not None:
        log.warning("key", fingerprint=key.fingerprint, text=stale)


def _find_stale(context: MirrorContext, prepared: PreparedKey, place: KeyPlace) -> str | None:
    keys = (prepared.key, prepared.rotation.next)
    found = (_find_stale_of(context, key, place) for key in keys if key is not None)
    return next((text for text in found if text is not None), None)


def _find_stale_of(context: MirrorContext, key: SigningKey, place: KeyPlace) -> str | None:
    for name in (place.armored, place.binary):
        if is_kept(name, context.kept) and (wrong := _find_wrong(context.root / name, key)) is not None:
            return (
                f"{name}, which keep_file_list keeps, {wrong}: clients that rely on it refuse what is signed with "
                f"{key.fingerprint}; export the keys again (`packrat-agent key export`), or remove {name} from "
                "keep_file_list, and the agent writes it"
            )
    return None


def _find_wrong(path: Path, key: SigningKey) -> str | None:
    """Say what is wrong with a kept public key; None if nothing is."""
    try:
        parts = read_public_keys(read_regular(path, _KEY_LIMIT), datetime.now(UTC))
    except FileNotFoundError:
        return "is missing"
    except (OSError, SigningError):
        return "can't be read as a public key"
    found = next((part for part in parts if part.fingerprint == key.fingerprint), None)
    if found is None:
        return "is not the signing key's"
    return f"says that the signing key {found.wrong}" if found.wrong is not None else None
