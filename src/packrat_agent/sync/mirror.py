"""Makes a mirror ready to work: claims it, opens its state, checks its directory and its key.

Takes: the configuration, what the operator asked for.
Gives: a Mirror, for as long as the claim is held.
Touches: the lock, the state database, gpg, root_dir.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from packrat_agent.config.settings import Config
from packrat_agent.formats.interface import RenderSettings
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.keyring import warn as warn_of_key
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.standalone_subkey import export_standalone
from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed, Retention
from packrat_agent.model.paths import kept_paths
from packrat_agent.publish.claim import check_ownership, claim
from packrat_agent.state.database import copy_database
from packrat_agent.state.facts import KeyInUse
from packrat_agent.state.original import set_original_aside
from packrat_agent.state.store import Store
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.fault_log import FaultLog
from packrat_agent.sync.removals import RemovalLimits
from packrat_core.errors import SigningError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for beside the configuration."""

    dry_run: bool = False
    adopt: bool = False
    confirmed: Confirmed = NOTHING_CONFIRMED


@dataclass(frozen=True, slots=True)
class Mirror:
    """One mirror ready to work: its configuration, its state, its context and the key's public form."""

    config: Config
    store: Store
    context: MirrorContext
    public_key: tuple[bytes, bytes] | None
    fault_log: FaultLog


@contextmanager
def ready(config: Config, wish: Wish, command: str = "sync") -> Iterator[Mirror]:
    """Hold the claim and the state database, with everything checked; a dry run works on a copy and claims nothing.

    command: what a second agent is told that is at work here.
    """
    if wish.dry_run:
        with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
            store = Store(copy_database(config.mirror.state_db, Path(scratch) / "state.db"))
            try:
                yield prepare(config, store, Path(scratch), wish)
            finally:
                store.close()
        return
    with claim(config.mirror.root_dir, config.mirror.state_db, command) as staging:
        taken_over = set_original_aside(config.mirror.state_db)
        if taken_over is not None:
            log.info("adopting", kept=str(taken_over), text="the tree of the original packrat agent is taken over")
        store = Store(config.mirror.state_db)
        try:
            yield prepare(config, store, staging, replace(wish, adopt=wish.adopt or taken_over is not None))
        finally:
            store.close()


def prepare(config: Config, store: Store, staging: Path, wish: Wish) -> Mirror:
    """Check the directory and the key before anything is asked or written.

    Raises: NotOurs, DiskError, SigningError.
    """
    mirror = config.mirror
    if not wish.dry_run:
        check_ownership(
            mirror.root_dir,
            config.packrat.name,
            sorted(mirror.keep_files),
            adopt=wish.adopt,
            had_files=store.live.has_files(),
        )
    key = _find_key(config)
    public_key = None
    if key is not None:
        exported = export_public(key)
        public_key = (exported.armored, exported.binary)
    settings = RenderSettings(
        mirror_description=mirror.description,
        signed=key is not None,
        public_url=mirror.public_url,
        public_key=public_key[0] if public_key else None,
        standalone_subkey=_export_standalone(key) if mirror.public_url else None,
        apt_origin=mirror.apt_origin,
        apt_label=mirror.apt_label,
        apt_valid_for_s=mirror.apt_valid_for_s,
        confirmed_repos=mirror.confirm_release_change,
    )
    context = MirrorContext(
        mirror.root_dir,
        staging,
        key,
        settings,
        mirror.parallel_downloads,
        RemovalLimits(mirror.max_removals_percent, float(mirror.full_sync_interval_s)),
        Retention(mirror.index_grace_period_s, mirror.grace_period_s, mirror.keep_generations),
        kept_paths(mirror.root_dir, mirror.keep_files),
    )
    if not wish.dry_run:
        expires = key.expires.timestamp() if key and key.expires else None
        store.facts.write(KeyInUse(key.fingerprint, key.algorithm, key.bits, expires) if key else KeyInUse(None))
    return Mirror(config, store, context, public_key, FaultLog(store.facts, store.events))


def _find_key(config: Config) -> SigningKey | None:
    mirror = config.mirror
    if not mirror.gpg_sign_key:
        log.warning(
            "unsigned", text="gpg_sign_key is not set: nothing will be signed, and clients must be told to trust it"
        )
        return None
    now = datetime.now(UTC)
    key = find_key(mirror.gpg_sign_key, mirror.gnupg_home, mirror.passphrase_file, now)
    for warning in warn_of_key(key, now):
        log.warning("key", fingerprint=key.fingerprint, text=warning)
    return key


def _export_standalone(key: SigningKey | None) -> bytes | None:
    """What signs as a key of its own, where it is none; without it, only newer clients accept signatures of images."""
    if key is None or key.fingerprint == key.primary:
        return None
    try:
        return export_standalone(key)
    except SigningError as error:
        text = "most podman and skopeo won't accept the signatures of images; they would those of a primary key"
        log.warning("key", fingerprint=key.fingerprint, reason=str(error), text=text)
        return None
