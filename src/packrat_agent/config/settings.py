"""The values of mirror.conf as the rest of the agent sees them: complete, checked and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

AGENT_DIR = ".packrat-agent"
"""The agent's own directory in root_dir: the mark, the lock and staging; mode 0700, so no web server shows it."""

INDEX_GRACE_S = 3600
"""How long replaced indexes stay on disk, unless the grace period of packages is shorter."""


class PackageSigning(StrEnum):
    """Which packages get a signature of this mirror, of the types that have signed packages."""

    ALL = "all"
    UNSIGNED = "unsigned"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PackratSettings:
    """[packrat]: the packrat server. `url` is an origin, such as `http://packrat.myco.com`."""

    url: str
    name: str
    psk: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    no_proxy: frozenset[str] = frozenset()
    ca_file: Path | None = None
    connect_timeout_s: int = 10
    stall_timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class KeyNames:
    """The signing key of one section of mirror.conf, and the other keys of a rotation, as they are named there.

    `next_key`: clients are to get it, and it does not sign yet. `former_key`: it signs beside the new key for a while.
    `retired_keys`: they no longer sign, and packages that they have signed stay.
    """

    sign_key: str
    next_key: str | None = None
    former_key: str | None = None
    retired_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """[mirror]: what the agent builds, and where."""

    description: str
    root_dir: Path
    state_db: Path
    gpg_sign_key: str | None = None
    """'': mirror.conf says that nothing is to be signed."""
    gpg_next_key: str | None = None
    gpg_former_key: str | None = None
    gpg_retired_keys: frozenset[str] = frozenset()
    gnupg_home: Path | None = None
    passphrase_file: Path | None = None
    full_sync_interval_s: int = 900
    keep_files: frozenset[Path] = frozenset()
    grace_period_s: int = 3 * 86400
    index_grace_period_s: int = INDEX_GRACE_S
    keep_generations: int = 3
    max_removals_percent: int = 50
    max_records: int = 1_000_000
    parallel_downloads: int = 8
    download_bytes_per_s: int | None = None
    max_file_bytes: int = 20_000_000_000
    scan_bytes_per_s: int = 50_000_000
    scan_days: int | None = None
    """None: 0, all content in each full sync, for a small tree, and 7 for a larger one."""
    apt_origin: str = "Packrat"
    apt_label: str | None = None
    apt_valid_for_s: int | None = None
    yum_sign_packages: PackageSigning = PackageSigning.ALL
    confirm_release_change: frozenset[str] = frozenset()
    public_url: str | None = None
    docker_signature_api: bool | None = None
    """None: as the tree has it, which is "no" for a new one."""
    metrics_file: Path | None = None
    metrics_listen: str | None = None

    @property
    def keys(self) -> KeyNames | None:
        """The main key; None if there is none."""
        if not self.gpg_sign_key:
            return None
        return KeyNames(self.gpg_sign_key, self.gpg_next_key, self.gpg_former_key, self.gpg_retired_keys)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, and the file that it came from.

    `section_keys` maps a section, such as `repo apt-prod` or `tag prod`, to its keys. `text` is what was
    read from the file.
    """

    packrat: PackratSettings
    mirror: MirrorSettings
    source: Path
    section_keys: Mapping[str, KeyNames] = field(default_factory=dict)
    text: str = field(default="", compare=False, repr=False)

    @property
    def all_keys(self) -> Mapping[str, KeyNames]:
        """The keys of all sections that name some, with those of `mirror` first."""
        main = {"mirror": self.mirror.keys} if self.mirror.keys is not None else {}
        return {**main, **self.section_keys}
