"""The index files of a repository: rendered, signed, and published."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Generic, TypeVar

from packrat_agent.model.records import Repo


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


@dataclass(frozen=True)
class Content:
    """The bytes of an index file, as a sequence of parts: a change replaces some and leaves the others as they are."""

    parts: tuple[bytes, ...]

    @classmethod
    def of(cls, *parts: bytes) -> "Content":
        """Make content of its parts, given one by one."""
        return cls(parts)

    @cached_property
    def size(self) -> int:
        """The length of all parts, in bytes."""
        return sum(map(len, self.parts))

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all parts, in hex."""
        return sha256_of(self.parts)

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


def sha256_of(parts: Iterable[bytes]) -> str:
    """Hash parts as the one content that they make; the SHA-256 in hex."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One index file; `path` is relative to the repository's directory."""

    path: str
    content: Content
    retained: Retained = Retained.AS_INDEX


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
class Since:
    """How a publication differs from an earlier one; every other file stands as that one left it.

    identity: that of the earlier publication. changed: the paths of files that are new or have other bytes.
    gone_content, gone_pointers: the paths that are named no more, the pointer that was published last first.
    """

    identity: str
    changed: frozenset[str]
    gone_content: tuple[str, ...]
    gone_pointers: tuple[str, ...]


F_co = TypeVar("F_co", covariant=True)


# No slots: an alias sets __orig_class__ on what it makes, which a frozen class with slots refuses with a TypeError.
@dataclass(frozen=True)
class _Publication(Generic[F_co]):
    """One part of a repository with pointers of its own (an apt suite), published as a whole or not at all.

    `identity` covers all that it says except dates and signatures: the same identity need not be written again.
    `content` may appear in any order; then `pointers` are replaced one by one, in this order. `facts` are remembered
    with the publication and handed to the next `render`. `since` spares the files that stand already, where the
    publication of that identity is live; None: all are looked at.
    """

    name: str
    identity: str
    content: tuple[F_co, ...]
    pointers: tuple[F_co, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    since: Since | None = field(default=None, compare=False)

    def is_looked_at(self, path: str) -> bool:
        """Tell whether the file at this path may differ from what stands there."""
        return self.since is None or path in self.since.changed


Publication = _Publication[TreeFile | TreeLink | QuotingFile | PendingSignature]
"""A publication as it was rendered."""

ReadyPublication = _Publication[TreeFile | TreeLink]
"""A publication with nothing left to be signed; whether it is signed is said by the tree that it belongs to."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The index files of one repository: a description, not a folder."""

    repo: Repo
    publications: tuple[Publication, ...]


@dataclass(frozen=True, slots=True)
class SignedTree:
    """The changed publications, their signatures made and verified, and the names of all publications."""

    repo: Repo
    publications: tuple[ReadyPublication, ...]
    publication_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnsignedTree:
    """The same, declared to have no signatures, since the mirror has no key or the tree none to be signed."""

    repo: Repo
    publications: tuple[ReadyPublication, ...]
    publication_names: tuple[str, ...]


ReadyTree = SignedTree | UnsignedTree
"""What may go live; nothing else is published."""


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
class Intent:
    """All that one publish is about to do, with what is needed to end it after a crash; paths are relative to root_dir.

    `publications` have their names, identities and facts, but no files: these are `files`, in the order of writing.
    `leaving` are pointers that the new tree doesn't name, and `withdrawn` package files that its indexes don't.
    """

    repo: Repo
    publications: tuple[ReadyPublication, ...]
    publication_names: tuple[str, ...]
    files: tuple[LiveFile, ...]
    leaving: tuple[str, ...]
    withdrawn: tuple[str, ...]

    @property
    def pointers(self) -> tuple[LiveFile, ...]:
        """The pointers, in the order in which they are replaced."""
        return tuple(file for file in self.files if file.pointer_rank)
