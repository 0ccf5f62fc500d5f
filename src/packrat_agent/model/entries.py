"""What becomes of the wanted package files: where they stand, what is published of each, what the index names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from packrat_agent.model.records import PackageFile, Repo


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
    package file: what its name has that of the package file has not, `.metadata`. Where `sha256` is '', it is the
    package file itself, and `name` the file name that clients need it to have.
    """

    name: str
    sha256: str
    size: int
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """What the index needs to know of a package file; read once, kept under the file's SHA-256.

    `body` belongs to the format that read it. name, version and arch are those inside the file, not the server's.
    `size` is that of the package file. `products` are published in its place; if none is, the package file is
    published as it is.
    """

    body: bytes
    name: str
    version: str
    arch: str
    products: tuple[Product, ...] = ()
    size: int = field(kw_only=True)

    @property
    def file_name(self) -> str:
        """The file name that clients need the package file to have; '' if they don't choose by it."""
        return next((product.name for product in self.products if not product.sha256), "")


@dataclass(frozen=True, slots=True)
class Entry:
    """One package file that stands in the index; `path` is relative to the repository's directory."""

    file: PackageFile
    path: str
    fragment: Fragment

    @property
    def sha256(self) -> str:
        """The SHA-256 of the published file at `path`."""
        return next((product.sha256 for product in self.fragment.products if not product.name), self.file.sha256)

    @property
    def size(self) -> int:
        """The size of the published file at `path`, in bytes."""
        return next((product.size for product in self.fragment.products if not product.name), self.fragment.size)


@dataclass(frozen=True, slots=True)
class Part:
    """One file that is published of a package file; `path` is relative to `root_dir`."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A wanted package file and its place; `path` is relative to `root_dir`."""

    file: PackageFile
    path: str


@dataclass(frozen=True, slots=True)
class KnownPlacement(Placement):
    """A placement whose published files are known: the package file as it is, or what was once read from it."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One package file that is left out, and why."""

    file: PackageFile
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one sync of one repository has to do.

    keep: all parts are in place. link: all parts are in place or can be copied. fetch: the package file is needed.
    withdraw: paths that no index will name any more. in_place: the wanted parts that are in place. sources: SHA-256 →
    a verified file in the live tree with these bytes.
    """

    repo: Repo
    keep: tuple[KnownPlacement, ...]
    fetch: tuple[Placement, ...]
    link: tuple[KnownPlacement, ...]
    withdraw: tuple[str, ...]
    refused: tuple[Refusal, ...]
    in_place: frozenset[Part]
    sources: Mapping[str, str]

    def is_in_place(self, placement: Placement) -> bool:
        """Tell whether everything that is published of a package file is in place."""
        return isinstance(placement, KnownPlacement) and not self.missing(placement)

    def missing(self, placement: KnownPlacement) -> list[Part]:
        """List the parts that are not in place."""
        return [part for part in placement.parts if part not in self.in_place]
