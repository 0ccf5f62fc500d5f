"""What a pass is asked to do, what it builds on, and what it did.

Takes: nothing.
Gives: Order, MirrorContext and SyncResult.
Touches: nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.formats.interface import Format, RenderSettings, Treatment
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed, Retention
from packrat_agent.model.entries import Refusal, StoredFile
from packrat_agent.model.records import Rejection
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.sync.removals import RemovalLimits


@dataclass(frozen=True, slots=True)
class MirrorContext:
    """What the syncs of a mirror build on."""

    root: Path
    staging: Path
    key: SigningKey | None
    settings: RenderSettings
    parallel_downloads: int
    removals: RemovalLimits
    retention: Retention
    kept: frozenset[str] = frozenset()
    """What the operator keeps, relative to root."""

    def source_of(self, form: Format) -> FragmentSource:
        """Under what a type's fragments are remembered here: another key makes others."""
        signed = form.treatment is Treatment.SIGNED and self.key is not None
        return FragmentSource(form.kind, form.fragment_version, self.key.fingerprint if signed and self.key else "")


@dataclass(slots=True)
class SyncResult:
    """What one pass did, for the log and the summary; `bytes` counts what was downloaded."""

    repo: str
    adopted: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    held: str | None = None
    ahead: str | None = None
    publications: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a pass is asked to do.

    packages: None for all, else the only ones that changed. reread: ask for every record anew. dry_run: stop once it
    is decided. untracked: path → hashed files below `root_dir` that nobody remembers; those with wanted bytes are
    adopted.
    """

    packages: Collection[str] | None = None
    reread: bool = False
    dry_run: bool = False
    confirmed: Confirmed = NOTHING_CONFIRMED
    untracked: Mapping[str, StoredFile] = field(default_factory=dict)
