"""The values that travel from step to step, each named after the stage that it has reached.

Takes: nothing.
Gives: frozen dataclasses; no behaviour beyond what a value can say of itself.
Touches: nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DistroVersion:
    """One distribution release that package files are made for, `bookworm` or `rhel9`."""

    name: str
    distro: str
    version: str | None
    file_type: str


@dataclass(frozen=True, slots=True)
class Repo:
    """One repository of the mirror as the server describes it; `directory` is relative to `root_dir`, checked."""

    name: str
    description: str
    directory: str
    kind: str
    distro_versions: tuple[DistroVersion, ...]
    show_only_latest: bool = True


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One package file that a repository wants; every field has been checked, `file_name` is one path segment.

    `created` is when the server took it in, as `2026-11-22T11:20:20.264145Z`; '' where the server doesn't say.
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


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record of the server that can't be used, by its URI, and why."""

    record: str
    reason: str


@dataclass(frozen=True, slots=True)
class MirrorView:
    """The mirror as the server describes it; records that can't be used stand in `rejected`.

    `unusable` names the repositories among these: they are on the mirror, so what is published of them stays.
    """

    description: str
    repos: tuple[Repo, ...]
    rejected: tuple[Rejection, ...]
    unusable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the operator vouches for: that the server means what it takes away; that this host's clock is right."""

    removals: bool = False
    clock: bool = False


NOTHING_CONFIRMED = Confirmed()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The package files that one repository wants, or those of some packages of it; `uris` names all, usable or not."""

    uris: frozenset[str]
    files: tuple[PackageFile, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed on the server up to `position`: repository name → package names, None for "list everything".

    `mirror` says that the mirror's own record (its list of repositories) or a repository's record changed.
    """

    position: str | None
    repos: Mapping[str, frozenset[str] | None]
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file under `root_dir` as it was last seen; `path` is relative to `root_dir`."""

    path: str
    sha256: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Product:
    """One file that is published in place of a package file, made from it, or `beside` it.

    `name` is its path below the package file's place; '' where it stands in that very place (a signed copy). Beside a
    package file: what its name has that of the package file has not, `.metadata`.
    """

    name: str
    sha256: str
    size: int
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """What the index needs to know of a package file; read once, kept under the file's SHA-256.

    `body` belongs to the format that read it. name, version and arch are those inside the file, not the server's.
    `products` are published in its place; where none takes that, the package file is published as it is.
    """

    body: bytes
    name: str
    version: str
    arch: str
    products: tuple[Product, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One package file that stands in the index; `path` is relative to the repository's directory.

    `size` is that of the published file.
    """

    file: PackageFile
    path: str
    size: int
    fragment: Fragment

    @property
    def sha256(self) -> str:
        """The SHA-256 of the published file at `path`."""
        return next((one.sha256 for one in self.fragment.products if not one.name), self.file.sha256)


@dataclass(frozen=True, slots=True)
class Part:
    """One published file of a placement; paths are relative to `root_dir`.

    `source` is a verified file with these bytes, its own path where it is in place already.
    """

    path: str
    sha256: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wanted package file, its place, and what is to be published of it there; paths are relative to `root_dir`.

    `parts` is None where that is known only after the file was read. `exclusive`: the place is this file's alone.
    """

    file: PackageFile
    path: str
    parts: tuple[Part, ...] | None
    exclusive: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    """A wanted package file and its place; both paths are relative to `root_dir`.

    `source` is None where the file must be downloaded, else a verified file with the same SHA-256. With `parts`, these
    are all at hand, and the package file itself is needed only where one of them turns out to be gone.
    """

    file: PackageFile
    path: str
    source: str | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One package file that is left out, and why."""

    file: PackageFile
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass of one repository has to do."""

    repo: Repo
    keep: tuple[Placement, ...]
    fetch: tuple[Placement, ...]
    link: tuple[Placement, ...]
    withdraw: tuple[str, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file in staging whose SHA-256 is proved: downloaded, or made from such a one."""

    sha256: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """A staged file and the path, relative to `root_dir`, that it goes to.

    `origin` is the SHA-256 of the package file that it stands for.
    """

    path: str
    staged: StagedFile
    origin: str


class SignatureForm(StrEnum):
    """How a signature stands beside what it signs; OPAQUE holds it inside, as plain `gpg --sign` does."""

    CLEAR = "clear"
    ARMOR = "armor"
    BINARY = "binary"
    OPAQUE = "opaque"


class Retained(IntEnum):
    """How long an index file stays on disk that the index no longer names. The state database has these numbers.

    FEW_GENERATIONS: while it is of one of the last few generations, whatever its age. AS_INDEX: as long as a
    publication that names it. AS_PACKAGE: as long as a withdrawn package file.
    """

    FEW_GENERATIONS = 0
    AS_INDEX = 1
    AS_PACKAGE = 2


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many seconds replaced indexes and withdrawn package files stay, and how many generations at least."""

    index_s: float
    packages_s: float
    keep_generations: int


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One index file; `path` is relative to the repository's directory.

    `digest` is the SHA-256 of `content` where it is known already.
    """

    path: str
    content: bytes
    retained: Retained = Retained.AS_INDEX
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class TreeLink:
    """One symbolic link; `path` is relative to the repository's directory, `target` to the link's own directory.

    Clients reach package files through links, so it stays on disk as long as these.
    """

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class PendingSignature:
    """A signature that is still to be made: of the pointer at `source`, or of `data`, to stand at `path`.

    With `by_hash_dir`, a copy goes to `<by_hash_dir>/<SHA-256 of the signature file>` as content. Signatures of `data`
    are kept and used again; those of pointers, which carry a date, are made anew.
    """

    path: str
    source: str
    form: SignatureForm
    by_hash_dir: str | None = None
    data: bytes | None = None
    retained: Retained = Retained.AS_INDEX


@dataclass(frozen=True, slots=True)
class QuotingFile:
    """An index file that quotes signatures: between two chunks of `text` each stands one in base64.

    `quoted` are the paths of signatures in the same publication, one fewer than chunks of text.
    """

    path: str
    text: tuple[bytes, ...]
    quoted: tuple[str, ...]
    retained: Retained = Retained.AS_INDEX


@dataclass(frozen=True, slots=True)
class Publication:
    """One part of a repository with pointers of its own (an apt suite), published as a whole or not at all.

    `identity` covers all that it says except dates and signatures: the same identity need not be written again.
    `content` may appear in any order; then `pointers` are replaced one by one, in this order. `facts` are remembered
    with the publication and handed to the next `render`.
    """

    name: str
    identity: str
    content: tuple[TreeFile | TreeLink | QuotingFile | PendingSignature, ...]
    pointers: tuple[TreeFile | TreeLink | QuotingFile | PendingSignature, ...]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tree:
    """The index files of one repository: a description, not a folder."""

    repo: Repo
    publications: tuple[Publication, ...]


@dataclass(frozen=True, slots=True)
class SignedPublication:
    """A publication whose signatures are made and verified, or that is meant to have none."""

    name: str
    identity: str
    content: tuple[TreeFile | TreeLink, ...]
    pointers: tuple[TreeFile | TreeLink, ...]
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SignedTree:
    """What may go live: the changed publications, the names of all, and the key that signed (None: unsigned)."""

    repo: Repo
    publications: tuple[SignedPublication, ...]
    publication_names: tuple[str, ...]
    key: str | None


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file that is about to stand in the live tree; `path` is relative to `root_dir`, `publication` '' for a package.

    `pointer_rank` is 0 for content, else the pointer's place in the order of publishing. `origin` is the SHA-256 of
    the package file that a package stands for, '' for its own.
    """

    path: str
    publication: str
    sha256: str
    size: int
    pointer_rank: int = 0
    retained: Retained = Retained.AS_INDEX
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What one publish did; paths are relative to `root_dir`."""

    repo: Repo
    publications: tuple[SignedPublication, ...]
    publication_names: tuple[str, ...]
    written: tuple[StoredFile, ...]
    removed: tuple[str, ...]
