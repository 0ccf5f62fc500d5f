"""The values of a sync: the mirror that it works for, its order, and its result."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.config.settings import Config, PackageSigning
from packrat_agent.formats.interface import Format, RenderSettings, Treatment
from packrat_agent.gpg.rpmsign import PackageSigner
from packrat_agent.gpg.signers import Signers
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.signing_keys import SigningKeys
from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed, Position, Retention
from packrat_agent.model.entries import Placement, Refusal, StoredFile
from packrat_agent.model.records import Rejection, Repo
from packrat_agent.model.tree import Signer
from packrat_agent.publish.compared import ComparedFiles
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.original import OriginalState
from packrat_agent.state.store import Store
from packrat_agent.sync.fault_log import FaultLog
from packrat_agent.sync.landing.page_news import PageNews
from packrat_agent.sync.last_renders import LastRenders
from packrat_agent.sync.planning.removals import RemovalLimits
from packrat_agent.sync.sealed_list import Seals
from packrat_agent.sync.takeover.rehearsed import Rehearsed
from packrat_agent.sync.turns import Turns
from packrat_core.errors import DiskError, PackratError

Progress = Callable[[str, int, int], None]
"""(what is being done, files done, bytes done) since the last call."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """The tree of another agent that is being taken over.

    original: what the original packrat agent remembered; None where it left no state database. signed: SHA-256 of a
    package file → those of its signed copies.
    """

    original: OriginalState | None = None
    signed: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MirrorContext:
    """One mirror that is ready to work: what all its syncs build on.

    Attributes:
        store: The state database; in a dry run a copy of it.
        root: root_dir.
        staging: The staging directory, on the same filesystem as `root` except in a dry run.
        settings: Those of a repository that the main key signs.
        kept: The paths below `root` that the operator keeps.
        takeover: None unless one is under way.
    """

    config: Config
    store: Store
    fault_log: FaultLog
    root: Path
    staging: Path
    keys: SigningKeys
    settings: RenderSettings
    turns: Turns
    removals: RemovalLimits
    retention: Retention
    last_renders: LastRenders
    seals: Seals
    page: PageNews = field(default_factory=PageNews)
    compared: ComparedFiles = field(default_factory=ComparedFiles)
    kept: frozenset[str] = frozenset()
    dry_run: bool = False
    takeover: Takeover | None = None

    def key_of(self, repo: Repo) -> SigningKey | None:
        """Return the key that signs a repository; None if it is not signed."""
        prepared = self.keys.of(repo)
        return prepared.key if prepared is not None else None

    def signers_of(self, repo: Repo) -> Signers | None:
        """Return the key that signs a repository, and those beside it that can sign now; None if it is not signed."""
        prepared = self.keys.of(repo)
        return prepared.signers.at(datetime.now(UTC)) if prepared is not None else None

    def settings_of(self, repo: Repo) -> RenderSettings:
        """Return the settings for the indexes of a repository, with the key that signs it."""
        prepared, signers = self.keys.of(repo), self.signers_of(repo)
        return replace(
            self.settings,
            signed=prepared is not None,
            key_place=self.keys.place_of(repo),
            public_key=prepared.public.armored if prepared is not None else None,
            standalone_subkey=prepared.standalone_subkey if prepared is not None else None,
            image_signers=signers.of_images if signers is not None else (Signer.KEY,),
        )

    def source_of(self, form: Format, repo: Repo) -> FragmentSource:
        """Make the cache key of this format's fragments, which changes with the repository's signing key."""
        signer = self.signer_of(form, repo)
        return FragmentSource(form.kind, form.fragment_version, signer.identity if signer is not None else "")

    def former_sources_of(self, form: Format, repo: Repo) -> tuple[FragmentSource, ...]:
        """Make the cache keys of fragments that other keys of a rotation made, and that are taken over."""
        signer, prepared = self.signer_of(form, repo), self.keys.of(repo)
        if signer is None or prepared is None:
            return ()
        return tuple(
            FragmentSource(form.kind, form.fragment_version, signer.identity_of(fingerprint))
            for fingerprint in sorted(prepared.rotation.accepted)
        )

    def signer_of(self, form: Format, repo: Repo) -> PackageSigner | None:
        """Return what signs the packages of a repository of this format; None if they are published as they are."""
        key, which = self.key_of(repo), self.config.mirror.yum_sign_packages
        if key is None or form.treatment is not Treatment.SIGNED or which is PackageSigning.NONE:
            return None
        return PackageSigner(key, only_unsigned=which is PackageSigning.UNSIGNED)


@dataclass(frozen=True, slots=True)
class Order:
    """A piece of work: what the sync of one repository is asked to do.

    Attributes:
        packages: The only ones that changed; None for all.
        named: Those that the server named, even if all are looked at.
        rest_waits: Of some packages, whether more was heard of the repository by then.
        reread: It is part of a full sync, so what failed for good is tried again.
        heard_at: When the change was heard of, in epoch seconds; None: this sync finds out.
        confirmed: What the operator has confirmed.
        untracked: Path → hashed file below `root_dir` that the state database doesn't know; those with wanted bytes are
            adopted.
        rehearsed: What a rehearsal of a takeover read of these.
        position: The server's position that was heard of last when this was given out; None: this sync finds out.
    """

    packages: Collection[str] | None = None
    named: Collection[str] = field(default=(), compare=False)
    rest_waits: bool = field(default=False, compare=False)
    reread: bool = False
    heard_at: float | None = None
    confirmed: Confirmed = NOTHING_CONFIRMED
    untracked: Mapping[str, StoredFile] = field(default_factory=dict)
    rehearsed: Rehearsed = field(default_factory=Rehearsed, compare=False)
    position: Position | None = field(default=None, compare=False)


@dataclass(slots=True)
class SyncResult:
    """The outcome of the sync of one repository, for the log and the summary.

    Attributes:
        planned: In a dry run, what would stand in the index.
        downloads: In a dry run, the paths of what is not on disk.
        added: The package files that clients gained.
        placed_ahead: Those of `added` that were placed before the index was made.
        removed: The package files that clients lost.
        yanked: Those that are marked now.
        unyanked: Those that lost the mark.
        newly_refused: Those of `refused` that the last sync did not refuse for the same reason.
        outstanding: How many files failed for a reason that passes, such as a server that is away.
        unaffected: The news changed nothing, and nothing else was looked at.
        left: How many files are left to a full sync that is downloading them.
        bytes: How much was downloaded.
    """

    repo: str
    planned: list[Placement] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    placed_ahead: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    yanked: list[str] = field(default_factory=list)
    unyanked: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    newly_refused: list[Refusal] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    held: str | None = None
    ahead: str | None = None
    publications: list[str] = field(default_factory=list)
    outstanding: int = 0
    unaffected: bool = False
    left: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Summary:
    """The outcome of a full sync.

    Attributes:
        collected: What was removed from disk.
        errors: Repository → why its sync stopped; the sealed list → why it could not be rebuilt.
        disk_error: The first one that stopped a repository alone.
        stopped_by_disk: All repositories that such an error stopped.
        rejected: The mirror's own records that can't be used.
        losses: In the dry run of a takeover, what clients would lose, a line each.
        changes: In the dry run of a takeover, what clients would have to accept by hand, a line each.
        notes: In the dry run of a takeover, what else the operator has to do, a line each.
        unremembered: The state database knew nothing of a tree with files.
    """

    syncs: list[SyncResult] = field(default_factory=list)
    collected: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    disk_error: DiskError | None = None
    stopped_by_disk: set[str] = field(default_factory=set)
    rejected: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unremembered: bool = False
    seconds: float = 0.0

    def note_error(self, repo: str, error: PackratError) -> None:
        """Note why the sync of a repository stopped."""
        self.errors[repo] = str(error)
        if isinstance(error, DiskError):
            self.disk_error = self.disk_error or error
            self.stopped_by_disk.add(repo)

    @property
    def is_whole(self) -> bool:
        """Whether every repository was synced, so that the state database knows all that is wanted."""
        return not (self.errors or self.rejected or any(sync.held for sync in self.syncs))

    @property
    def complete(self) -> bool:
        """Whether nothing failed, was rejected or held back, or refused for the first time.

        A file that is refused for good can't be mended by another sync; `status` and `check` show it for as long.
        """
        spoiled = any(sync.newly_refused or sync.rejected or sync.failed or sync.held for sync in self.syncs)
        return not (self.errors or self.rejected or spoiled)
