"""The index files of a repository: rendered, signed, and published."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Generic, TypeVar, overload

from packrat_agent.model.records import Repo


class SignatureForm(StrEnum):
    """How a signature stands beside what it signs; OPAQUE holds it inside, as plain `gpg --sign` does."""

    CLEAR = "clear"
    ARMOR = "armor"
    BINARY = "binary"
    OPAQUE = "opaque"


class Signer(StrEnum):
    """Which of a repository's keys makes a signature; ALL: each that signs Release files now, in one file."""

    KEY = "key"
    NEXT = "next"
    FORMER = "former"
    ALL = "all"


class Retained(IntEnum):
    """How long an index file stays on disk that the index no longer names. The state database has these numbers.

    Attributes:
        FEW_GENERATIONS: While it is of one of the last few generations, whatever its age.
        AS_INDEX: As long as a publication that names it.
        AS_PACKAGE: As long as a withdrawn package file.
    """

    FEW_GENERATIONS = 0
    AS_INDEX = 1
    AS_PACKAGE = 2


@dataclass(frozen=True, eq=False)
class Content:
    """The bytes of an index file, in parts, which are read again each time: a large index stands on disk."""

    parts: Iterable[bytes | bytearray]

    @classmethod
    def of(cls, *parts: bytes) -> "Content":
        """Make content of its parts, given one by one."""
        return cls(parts)

    @classmethod
    def known(cls, parts: Iterable[bytes | bytearray], size: int, digest: str) -> "Content":
        """Make content whose size and digest are known.

        Args:
            parts: All of it, in order.
            size: Their length in bytes.
            digest: Their SHA-256, in hex.
        """
        content = cls(parts)
        # As a cached property keeps what it found out.
        content.__dict__.update(size=size, digest=digest)
        return content

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and (self.size, self.digest) == (other.size, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)


def sha256_of(parts: Iterable[bytes | bytearray]) -> str:
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
class PendingFile:
    """An index file that waits for the key: it is one signature, or quotes several in base64 between chunks of text.

    Attributes:
        signs: What its signatures sign.
        quoting: The text around them, one chunk more than signatures; () if the file is its one signature.
        by_hash_dir: Where a copy goes as content, named by its SHA-256.
        lasting: What is signed never changes, so its signatures are kept and used again. Those of pointers, which carry
            a date, are rebuilt.
        signers: Who makes each of the signatures; (): the key.
    """

    path: str
    form: SignatureForm
    signs: tuple[Content, ...]
    quoting: tuple[bytes, ...] = ()
    by_hash_dir: str | None = None
    lasting: bool = False
    retained: Retained = Retained.AS_INDEX
    signers: tuple[Signer, ...] = ()

    @property
    def wanted(self) -> tuple[tuple[Content, Signer], ...]:
        """What is signed, each with who signs it."""
        signers = self.signers or (Signer.KEY,) * len(self.signs)
        return tuple(zip(self.signs, signers, strict=True))


@dataclass(frozen=True, slots=True)
class Since:
    """How a publication differs from an earlier one; every other file stands as that one left it.

    Attributes:
        identity: That of the earlier publication.
        gone_content: The paths of content that are named no more.
        gone_pointers: The paths of pointers that are named no more, the one that was published last first.
        content: Content that is new or has other bytes.
        pointers: Pointers that are new or have other bytes.
        places: Where each of these pointers stands among all, counted from 1.
    """

    identity: str
    gone_content: tuple[str, ...]
    gone_pointers: tuple[str, ...]
    content: tuple[TreeFile | TreeLink | PendingFile, ...] = field(default=(), compare=False)
    pointers: tuple[TreeFile | TreeLink | PendingFile, ...] = field(default=(), compare=False)
    places: tuple[int, ...] = field(default=(), compare=False)


F_co = TypeVar("F_co", covariant=True)


class LateFiles(Sequence[F_co]):
    """Files that are listed when somebody asks for all: of the 6,000 of an image, a change of a tag looks at a few."""

    def __init__(self, make: Callable[[], tuple[F_co, ...]]) -> None:
        """Make a sequence of the files that `make` lists when they are first asked for."""
        self._make = make

    @cached_property
    def _files(self) -> tuple[F_co, ...]:
        return self._make()

    @overload
    def __getitem__(self, at: int) -> F_co: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[F_co, ...]: ...
    def __getitem__(self, at: int | slice) -> F_co | tuple[F_co, ...]:
        """Give one file, or some."""
        return self._files[at]

    def __len__(self) -> int:
        """Count them."""
        return len(self._files)

    def __eq__(self, other: object) -> bool:
        """Tell whether other files are the same, in the same order."""
        return isinstance(other, Sequence) and self._files == tuple(other)

    def __hash__(self) -> int:
        """Hash them as a tuple."""
        return hash(self._files)


# No slots: an alias sets __orig_class__ on what it makes, which a frozen class with slots refuses with a TypeError.
@dataclass(frozen=True)
class _Publication(Generic[F_co]):
    """One part of a repository with pointers of its own (an apt suite), published as a whole or not at all.

    Attributes:
        identity: Covers all that it says except dates and signatures: the same identity need not be written again.
        content: Files that may appear in any order, before the pointers.
        pointers: Files that are replaced one by one, in this order.
        facts: Remembered with the publication and handed to the next `render`.
        former: The paths of pointers that earlier versions of the agent wrote: what stands there is withdrawn like
            content. Any other pointer that is left out is removed at once.
        since: The files that differ, where the publication of that identity is live; what is ready with it has these
            files alone. None: all are looked at.
    """

    name: str
    identity: str
    content: Sequence[F_co]
    pointers: Sequence[F_co]
    facts: Mapping[str, str] = field(default_factory=dict)
    former: tuple[str, ...] = ()
    since: Since | None = field(default=None, compare=False)


Publication = _Publication[TreeFile | TreeLink | PendingFile]
"""A publication as it was rendered."""


@dataclass(frozen=True, slots=True)
class Touched:
    """The publications that a change touches, of a repository whose other ones stay as they are published.

    Only of publications that remember no facts: nobody looks at those of the others.

    publications: those that may differ from what is published. ended: the names of those that are there no longer.
    """

    publications: tuple[Publication, ...]
    ended: frozenset[str] = frozenset()


Rendered = tuple[Publication, ...] | Touched
"""What a repository was rendered to: all of its publications, or those that a change touches."""


def publications_of(rendered: Rendered) -> tuple[Publication, ...]:
    """List the publications that were rendered."""
    return rendered.publications if isinstance(rendered, Touched) else rendered


ReadyPublication = _Publication[TreeFile | TreeLink]
"""A publication with nothing left to be signed; whether it is signed is said by the tree that it belongs to."""


@dataclass(frozen=True, slots=True)
class SignedTree:
    """A repository's changed publications, their signatures made and verified, and the names of all publications.

    publication_names: the others end; None: those end that are named by `ended`, and all others stay.
    """

    repo: Repo
    publications: tuple[ReadyPublication, ...]
    publication_names: tuple[str, ...] | None
    ended: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UnsignedTree:
    """A tree that is declared to have no signatures, since the mirror has no key or nothing in it is to be signed."""

    repo: Repo
    publications: tuple[ReadyPublication, ...]
    publication_names: tuple[str, ...] | None
    ended: frozenset[str] = frozenset()


ReadyTree = SignedTree | UnsignedTree
"""What may go live; nothing else is published."""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file that is about to stand in the live tree.

    Attributes:
        path: Relative to `root_dir`.
        publication: '' for a package.
        pointer_rank: 0 for content, else the pointer's place in the order of publishing.
        origin: The SHA-256 of the package file that a package stands for; '' for its own.
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
    `publication_names` and `ended` are those of the tree.
    """

    repo: Repo
    publications: tuple[ReadyPublication, ...]
    publication_names: tuple[str, ...] | None
    files: tuple[LiveFile, ...]
    leaving: tuple[str, ...]
    withdrawn: tuple[str, ...]
    ended: frozenset[str] = frozenset()

    @property
    def pointers(self) -> tuple[LiveFile, ...]:
        """The pointers, in the order in which they are replaced."""
        return tuple(file for file in self.files if file.pointer_rank)


def find_ended(tree: ReadyTree | Intent, known: Iterable[str]) -> list[str]:
    """Name those of the known publications that a tree ends."""
    if tree.publication_names is None:
        return [name for name in known if name in tree.ended]
    present = frozenset(tree.publication_names)
    return [name for name in known if name not in present]
