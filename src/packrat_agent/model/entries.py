"""The values of wanted package files: their places, what is published of each, what the index names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from packrat_agent.model.records import PackageFile, Repo
from packrat_core.errors import Refused

_OF_PACKAGER = "its packager must correct it and upload a new version"


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
    """One file that is published in place of a package file, made from it, or beside it.

    Attributes:
        name: Its path below the package file's place; '' where it stands in that very place (a signed copy). Beside a
            package file, what its name has that the package file's has not, such as `.metadata`.
        sha256: Where it is '', the product is the package file itself, and `name` the file name that clients need.
        beside: Whether it stands beside the package file.
    """

    name: str
    sha256: str
    size: int
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """What the index needs to know of a package file; read once, kept under the file's SHA-256.

    Attributes:
        body: Belongs to the format that read it.
        name: The name inside the file, not the server's; so are version and arch.
        products: Published in its place; if there are none, the package file is published as it is.
        size: That of the package file.
        made_by: Names the former key that signed the products; '' for the key that signs now.
    """

    body: bytes
    name: str
    version: str
    arch: str
    products: tuple[Product, ...] = ()
    size: int = field(kw_only=True)
    made_by: str = field(default="", kw_only=True)

    @property
    def file_name(self) -> str:
        """The file name that clients need the package file to have; '' if they don't choose by it."""
        # No expression, since it takes three times as long, and is asked for several times of each file.
        for product in self.products:
            if not product.sha256:
                return product.name
        return ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One package file that stands in the index; `path` is relative to the repository's directory."""

    file: PackageFile
    path: str
    fragment: Fragment

    @property
    def body(self) -> bytes:
        """What its format read of it."""
        return self.fragment.body

    @property
    def sha256(self) -> str:
        """The SHA-256 of the published file at `path`."""
        return next((product.sha256 for product in self.fragment.products if not product.name), self.file.sha256)

    @property
    def size(self) -> int:
        """The size of the published file at `path`, in bytes."""
        return next((product.size for product in self.fragment.products if not product.name), self.fragment.size)


class Indexed(Protocol):
    """A package file that stands in the index: all that the index says of it is made of these; see `Entry`."""

    @property
    def body(self) -> bytes:
        """What its format read of it."""

    @property
    def path(self) -> str:
        """Where it stands, relative to the repository's directory."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of what stands there."""

    @property
    def size(self) -> int:
        """The size of what stands there, in bytes."""


class IndexedPackage(NamedTuple):
    """An `Entry` without the server's record, where very many are read; `key`: name, version and architecture."""

    key: tuple[str, str, str]
    path: str
    sha256: str
    size: int
    body: bytes


Parts = Mapping[str, str]
"""What is published of a package file: path relative to `root_dir` → the SHA-256 that belongs there."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A wanted package file and its place; `path` is relative to `root_dir`."""

    file: PackageFile
    path: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One package file that is left out, and why."""

    file: PackageFile
    reason: str


def refusal_reason(error: Refused) -> str:
    """Say why a package file is refused, and who has to do what: the packager, where the refusal doesn't say it."""
    return str(error) if error.hint else f"{error}; {_OF_PACKAGER}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of one sync of one repository.

    Attributes:
        keep: All that is published of them is in place.
        fetch: The package file is needed.
        link: Some of what is published is not in place, but can be copied.
        withdraw: Paths that no index will name any more.
        refused: What clients could not use.
        parts: URI → what is published of a file that is kept or linked.
        missing: URI → the parts of a linked file that are not in place.
        sources: SHA-256 → a verified file in the live tree with these bytes.
        held: SHA-256 → the bytes of parts that are in memory.
    """

    repo: Repo
    keep: tuple[Placement, ...]
    fetch: tuple[Placement, ...]
    link: tuple[Placement, ...]
    withdraw: tuple[str, ...]
    refused: tuple[Refusal, ...]
    parts: Mapping[str, Parts]
    missing: Mapping[str, Parts]
    sources: Mapping[str, str]
    held: Mapping[str, bytes] = field(default_factory=dict)

    def keeps(self, placement: Placement) -> bool:
        """Tell whether all that is published of a package file is in place."""
        return placement.file.uri in self.parts and placement.file.uri not in self.missing

    def in_place(self, placement: Placement) -> Parts:
        """Return the published parts of a package file that are in their places."""
        parts = self.parts.get(placement.file.uri, {})
        missing = self.missing.get(placement.file.uri, {})
        return {path: sha256 for path, sha256 in parts.items() if path not in missing}
