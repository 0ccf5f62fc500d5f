"""The server's records: the mirror, its repositories, and the package files that they want."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DistroVersion:
    """One distribution release that package files are made for, `bookworm` or `rhel9`."""

    name: str
    distro: str
    version: str | None
    file_type: str


@dataclass(frozen=True, slots=True)
class Repo:
    """One repository of the mirror as the server describes it; `directory` is relative to `root_dir`, checked.

    `tag` names the tag whose package files it has; '' where the server doesn't say.
    """

    name: str
    description: str
    directory: str
    kind: str
    distro_versions: tuple[DistroVersion, ...]
    show_only_latest: bool = True
    tag: str = ""


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One package file that a repository wants; every field has been checked.

    Attributes:
        file_name: One path segment.
        created: When the server took it in, as `2026-11-22T11:20:20.264145Z`; '' where the server doesn't say.
        yanked: It is deprecated, and stays for those who name its version. That is in the server's lists and not in the
            record, which never changes, so two values that differ in it alone are equal.
    """

    uri: str
    package: str
    distro_version: str
    version: str
    kind: str
    arch: str
    url: str
    file_name: str
    sha256: str
    created: str = ""
    yanked: bool = field(default=False, compare=False)

    @property
    def record_order(self) -> tuple[int, str]:
        """Sorts records from the oldest to the newest: a URI ends with the record's number, which rises."""
        return len(self.uri), self.uri


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record of the server that can't be used, by its URI, and why."""

    record: str
    reason: str


@dataclass(frozen=True, slots=True)
class MirrorView:
    """The mirror as the server describes it; records that can't be used stand in `rejected`.

    `unusable` names the repositories among these: they are on the mirror, so what is published of them stays. `held`
    maps the names of others that stay as they are to why.
    """

    description: str
    repos: tuple[Repo, ...]
    rejected: tuple[Rejection, ...]
    unusable: frozenset[str] = frozenset()
    held: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the server says of the package files that one repository wants, or of those of some packages of it.

    Attributes:
        uris: All that it names, usable or not; of a large repository they are on disk.
        files: The records that are not remembered in the state database.
        rejected: The records that can't be used.
        yanked: Those of the URIs whose files are deprecated, and stay all the same; None in a repository whose clients
            know no such mark.
        names_all_known: Each file that is known of the whole repository was found among the URIs, so that nobody need
            look for one that is gone.
        touched: The URIs of all files that it is about; of the others, nothing has changed. None: all files of the
            packages.
    """

    uris: Collection[str]
    files: tuple[PackageFile, ...]
    rejected: tuple[Rejection, ...]
    yanked: Collection[str] | None = frozenset()
    names_all_known: bool = False
    touched: frozenset[str] | None = None
