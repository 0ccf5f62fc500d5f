"""Makes a mirror ready to work: takes the lock, opens the state database, checks root_dir and the signing key."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from packrat_agent.config.settings import Config, MirrorSettings, PackageSigning
from packrat_agent.formats.docker.layout import has_signature_api
from packrat_agent.formats.interface import RenderSettings
from packrat_agent.gpg.rpmsign import PackageSigner
from packrat_agent.gpg.signing_keys import SigningKeys
from packrat_agent.model.changes import Retention
from packrat_agent.model.paths import kept_paths
from packrat_agent.publish.claim import check_ownership, claim, find_unmanaged, refuse_server_data, refuse_unmanaged
from packrat_agent.state.database import copy_database
from packrat_agent.state.facts import FailedStart, TakeoverUnderWay
from packrat_agent.state.fragments import Fragments
from packrat_agent.state.original import find_original, is_original, read_original, set_original_aside
from packrat_agent.state.store import Store
from packrat_agent.sync.context import MirrorContext, Takeover
from packrat_agent.sync.fault_log import FaultLog
from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_agent.sync.fetch.staging import find_left_over, give_back_parts
from packrat_agent.sync.keys.find_keys import find_keys
from packrat_agent.sync.keys.kept_key import note_keys
from packrat_agent.sync.keys.refuse_to_unsign import refuse_to_unsign
from packrat_agent.sync.last_renders import LastRenders
from packrat_agent.sync.planning.removals import RemovalLimits
from packrat_agent.sync.roll_forward import roll_forward_all
from packrat_agent.sync.sealed_list import Sealer, Seals
from packrat_agent.sync.turns import Turns
from packrat_core.errors import DiskError, PackratError

log = structlog.get_logger()


@contextmanager
def open_mirror(config: Config, command: str = "sync", *, adopt: bool = False) -> Iterator[MirrorContext]:
    """Claim the mirror, check everything, and give what its syncs need.

    Args:
        config: The configuration in force.
        command: The command that is at work here, for the message to a second agent.
        adopt: Take over a root_dir that holds unmanaged files.

    Raises:
        Busy: Another agent holds the lock.
        NotOurs: root_dir holds unmanaged files, or the state database is that of the original agent; nothing was
            touched.
        DiskError: root_dir or the state database can't be read or written.
        SigningError: The signing key can't be used.
    """
    mirror = config.mirror
    keep = sorted(mirror.keep_files)
    refuse_server_data(mirror.root_dir)
    if not adopt:
        refuse_unmanaged(mirror.root_dir, mirror.state_db, keep)
    with claim(mirror.root_dir, mirror.state_db, command) as staging:
        give_back_parts(staging)
        takes_over = adopt and finds_takeover(config)
        original = _set_aside(mirror.state_db) if takes_over else None
        store, is_open = Store(mirror.state_db), False
        try:
            if takes_over:
                # Before the mark: from then on, also a sync without --adopt goes on with it.
                store.facts.write(TakeoverUnderWay(time.time(), str(original) if original is not None else None))
            check_ownership(mirror.root_dir, config.packrat.name, keep, adopt=adopt, had_files=store.live.has_files())
            # Before anything that may fail: the key, the server.
            roll_forward_all(store, mirror.root_dir, kept_paths(mirror.root_dir, mirror.keep_files))
            context = _prepare(config, store, staging, dry_run=False)
            note_keys(context, at_start=True)
            store.facts.drop(FailedStart)
            is_open = True
            yield context
        except PackratError as error:
            if not is_open:
                # Where a timer starts `sync`, nobody sees its exit code.
                with suppress(DiskError):
                    store.facts.write(FailedStart(time.time(), str(error)))
            raise
        finally:
            store.close()


@contextmanager
def open_for_dry_run(config: Config) -> Iterator[MirrorContext]:
    """Open the mirror for a dry run: a copy of the state database, staging elsewhere, no lock.

    Raises:
        NotOurs: root_dir is the data directory of a packrat-server.
        DiskError: The state database can't be copied.
        SigningError: The signing key can't be used.
    """
    refuse_server_data(config.mirror.root_dir)
    state_db = config.mirror.state_db
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        copy = Path(scratch) / "state.db"
        store = Store(copy if is_original(state_db) else copy_database(state_db, copy))
        try:
            if finds_takeover(config):
                original = find_original(state_db)
                store.facts.write(TakeoverUnderWay(time.time(), str(original) if original is not None else None))
            yield _prepare(config, store, Path(scratch), dry_run=True)
        finally:
            store.close()


def finds_takeover(config: Config) -> bool:
    """Tell whether `sync --adopt` would take over what another agent, or anybody else, has left.

    Raises:
        DiskError: root_dir or the state database can't be read.
    """
    mirror = config.mirror
    return is_original(mirror.state_db) or bool(find_unmanaged(mirror.root_dir, sorted(mirror.keep_files)))


def _set_aside(state_db: Path) -> Path | None:
    found = find_original(state_db)
    if found != state_db:
        # None, or an interrupted takeover has set it aside already.
        return found
    aside = set_original_aside(state_db)
    log.info("adopting", kept=str(aside), text="the tree of the original packrat agent is taken over")
    return aside


def _read_takeover(store: Store) -> Takeover | None:
    under_way = store.facts.read(TakeoverUnderWay)
    if under_way is None:
        return None
    original = Path(under_way.original) if under_way.original is not None else None
    if original is None or not original.exists():
        return Takeover()
    known = read_original(original)
    return Takeover(known, known.signed_copies())


def _prepare(config: Config, store: Store, staging: Path, *, dry_run: bool) -> MirrorContext:
    mirror = config.mirror
    store.record_reads.trust_server(config.packrat.url, time.time())
    refuse_to_unsign(config, store)
    keys = find_keys(config)
    _take_over_signed(store.fragments, keys)
    settings = _render_settings(mirror, keys)
    seals = Seals(mirror.root_dir, store, _make_sealer(mirror, keys), config.packrat.name)
    seals.restore_names()
    return MirrorContext(
        config=config,
        store=store,
        fault_log=FaultLog(store.facts, store.events),
        root=mirror.root_dir,
        staging=staging,
        keys=keys,
        settings=settings,
        turns=Turns(SharedDownloads(mirror.parallel_downloads, find_left_over(staging), mirror.max_file_bytes)),
        removals=RemovalLimits(mirror.max_removals_percent, float(mirror.full_sync_interval_s)),
        retention=Retention(mirror.index_grace_period_s, mirror.grace_period_s, mirror.keep_generations),
        last_renders=LastRenders(),
        seals=seals,
        kept=kept_paths(mirror.root_dir, mirror.keep_files),
        dry_run=dry_run,
        takeover=_read_takeover(store),
    )


def _render_settings(mirror: MirrorSettings, keys: SigningKeys) -> RenderSettings:
    """Give what mirror.conf and the main key say of the indexes; a section's key comes later (`settings_of`)."""
    return RenderSettings(
        mirror_description=mirror.description,
        signed=keys.main is not None,
        public_url=mirror.public_url,
        public_key=keys.main.public.armored if keys.main is not None else None,
        standalone_subkey=keys.main.standalone_subkey if keys.main is not None else None,
        apt_origin=mirror.apt_origin,
        apt_label=mirror.apt_label,
        apt_valid_for_s=mirror.apt_valid_for_s,
        signs_all_packages=mirror.yum_sign_packages is PackageSigning.ALL,
        confirmed_repos=mirror.confirm_release_change,
        signature_api=_signature_api(mirror),
        grace_s=mirror.grace_period_s,
    )


def _make_sealer(mirror: MirrorSettings, keys: SigningKeys) -> Sealer:
    secret = mirror.state_db.with_name(f"{mirror.state_db.name}.secret")
    if keys.main is None:
        return Sealer(None, secret, frozenset())
    return Sealer(keys.main.key, secret, keys.main.rotation.accepted)


def _signature_api(mirror: MirrorSettings) -> bool:
    """Decide whether registries hand out signatures; without a setting, clients of a tree go on as they are used to."""
    if mirror.docker_signature_api is not None:
        return mirror.docker_signature_api
    offered = has_signature_api(mirror.root_dir)
    if offered:
        log.info(
            "signature-api",
            text="the registry hands out signatures, as before; skopeo copy to oci: fails by that, so give the clients "
            "a file in registries.d and set docker_signature_api: no",
        )
    return offered


def _take_over_signed(fragments: Fragments, keys: SigningKeys) -> None:
    """Keep the packages that an accepted key has signed as they are, and have those of any other key signed again."""
    accepted: dict[str, set[str]] = {}
    for prepared in keys.all():
        accepted.setdefault(prepared.key.fingerprint, set()).update(prepared.rotation.accepted)
    for prepared in keys.all():
        for only_unsigned in (False, True):
            signer = PackageSigner(prepared.key, only_unsigned)
            others = sorted(accepted[prepared.key.fingerprint] - {prepared.key.fingerprint})
            fragments.take_over(signer.identity, [signer.identity_of(other) for other in others])
