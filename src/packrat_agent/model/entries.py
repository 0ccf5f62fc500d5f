"""What becomes of the wanted package files: where they stand, what is published of each, what the index names."""

from dataclasses import dataclass
from pathlib import Path

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
