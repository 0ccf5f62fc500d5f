"""Writes the repodata: primary, filelists and other, compressed shard by shard, and repomd.xml, which lists them.

1. The three files list the packages in the same order.
2. A hash of a package says whether a shard begins there, so that a new package changes one shard.

Source: createrepo_c, `createrepo_c(8)`; the XML that yum, dnf and zypper read has no other description.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from xml.sax.saxutils import escape

from packrat_agent.formats.compress import GZIP
from packrat_agent.formats.index_hash import IndexHash
from packrat_agent.formats.index_shards import Texts
from packrat_agent.formats.interface import ChunkCache
from packrat_agent.formats.pieced_file import Frame
from packrat_agent.formats.sharded_index import IndexLayout, ShardedIndex
from packrat_agent.formats.yum.read_rpm import HREF_MARK, SHA256_MARK, SIZE_MARK
from packrat_agent.model.entries import Entry, Indexed, IndexedPackage
from packrat_agent.model.tree import Content
from packrat_agent.state.scratch import Scratch

AS_UPLOADED = "package-signatures:as-uploaded"
"""A content tag of repomd.xml: packages need not be signed by this mirror."""

_LINUX = "http://linux.duke.edu/metadata"
_ROOTS = {
    "primary": ("metadata", f'xmlns="{_LINUX}/common" xmlns:rpm="{_LINUX}/rpm"'),
    "filelists": ("filelists", f'xmlns="{_LINUX}/filelists"'),
    "other": ("otherdata", f'xmlns="{_LINUX}/other"'),
}

# Shards of about the same size: most packages stand in the large ones, and a change compresses all of its shard again.
_LAYOUT = IndexLayout(" ".join, (GZIP,), files=len(_ROOTS), least=72, every=16)


@dataclass(frozen=True, slots=True)
class Metadata:
    """A metadata file: its gzip `content`, and the size in bytes and SHA-256 of the decompressed content."""

    kind: str
    content: Content
    open_size: int
    open_checksum: str

    @property
    def name(self) -> str:
        """The file name, which changes with the content."""
        return f"{self.content.digest}-{self.kind}.xml.gz"


class VersionIndex:
    """The packages of one distribution version, with their texts in each of the three files."""

    def __init__(self, below: str, scratch: Scratch) -> None:
        """Make an empty index.

        Args:
            below: The directory that the packages' paths are relative to in the index, with a trailing slash.
            scratch: Where it is kept.
        """
        self._index = ShardedIndex(_LAYOUT, partial(_fill, below=below), scratch.region())
        self._directories: Counter[str] = Counter()
        self._below = below

    def directories(self) -> frozenset[str]:
        """The directories, below that of the distribution version, in which packages are."""
        return frozenset(directory for directory, count in self._directories.items() if count)

    def digest(self) -> str:
        """Hash all that the three files say."""
        return self._index.digest()

    def is_of(self, packages: Iterable[IndexedPackage]) -> bool:
        """Tell whether an index made of these, in the order of the index, would say the same."""
        found, directories = IndexHash(len(_ROOTS)), Counter[str]()
        for package in packages:
            directories[self._directory(package)] += 1
            found.add(package.key, _fill(package, below=self._below))
        return found.digest() == self.digest() and directories == self._directories

    def build(self, entries: Iterable[Entry], chunks: ChunkCache) -> None:
        """Make an empty index of its entries.

        Args:
            entries: All of them, in the order of their packages.
            chunks: The cache of compressed shards.
        """
        builder = self._index.build(chunks)
        for entry in entries:
            self._directories[self._directory(entry)] += 1
            builder.add(entry)
        builder.end()

    def change(self, gone: Collection[Entry], new: Collection[Entry], chunks: ChunkCache) -> None:
        """Take entries out, and put others in.

        Args:
            gone: Entries that were put in before.
            new: Entries that are not in it.
            chunks: The cache of compressed shards.
        """
        self._directories.subtract(self._directory(entry) for entry in gone)
        self._directories.update(self._directory(entry) for entry in new)
        self._index.change(gone, new, chunks)

    def write(self) -> tuple[Metadata, ...]:
        """Write the three files, which list the packages in the same order."""
        files = self._index.files(*(_frame(kind, len(self._index)) for kind in _ROOTS))
        return tuple(
            Metadata(kind, file.packed[GZIP], file.plain.size, file.plain.digest)
            for kind, file in zip(_ROOTS, files, strict=True)
        )

    def _directory(self, package: Indexed) -> str:
        return package.path.removeprefix(self._below).partition("/")[0]


@dataclass(frozen=True, slots=True)
class Tags:
    """The further content of repomd.xml: texts of its content tags, and the name of its repository; '' for none."""

    contents: Sequence[str] = ()
    repository: str = ""

    def lines(self) -> list[str]:
        """Write the tags as lines of repomd.xml."""
        named = [("content", text) for text in self.contents]
        named += [("repo", self.repository)] if self.repository else []
        written = [f"    <{name}>{escape(text)}</{name}>" for name, text in named]
        return ["  <tags>", *written, "  </tags>"] if written else []


def write_repomd(metadata: Sequence[Metadata], revision: int, tags: Tags) -> bytes:
    """Write repomd.xml.

    Args:
        metadata: the metadata files, in the order in which they are listed.
        revision: epoch seconds; also the timestamp of each file.
        tags: its further content.
    """
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<repomd xmlns="{_LINUX}/repo" xmlns:rpm="{_LINUX}/rpm">',
        f"  <revision>{revision}</revision>",
    ]
    lines += tags.lines()
    for file in metadata:
        lines += [
            f'  <data type="{file.kind}">',
            f'    <checksum type="sha256">{file.content.digest}</checksum>',
            f'    <open-checksum type="sha256">{file.open_checksum}</open-checksum>',
            f'    <location href="repodata/{file.name}"/>',
            f"    <timestamp>{revision}</timestamp>",
            f"    <size>{file.content.size}</size>",
            f"    <open-size>{file.open_size}</open-size>",
            "  </data>",
        ]
    return ("\n".join([*lines, "</repomd>"]) + "\n").encode()


def _frame(kind: str, count: int) -> Frame:
    """Write what stands around the packages of a file."""
    root, namespaces = _ROOTS[kind]
    opening = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {namespaces} packages="{count}">\n'
    return Frame(opening.encode(), f"</{root}>\n".encode())


def _fill(package: Indexed, *, below: str) -> Texts:
    """Replace the marks in a package's fragments by the values of the index."""
    sha256 = package.sha256.encode()
    href = escape(package.path.removeprefix(below), {'"': "&quot;"}).encode()
    primary, filelists, other = package.body.split(b"\0")
    primary = primary.replace(SHA256_MARK, sha256, 1).replace(HREF_MARK, href, 1)
    return (
        primary.replace(SIZE_MARK, str(package.size).encode(), 1),
        filelists.replace(SHA256_MARK, sha256, 1),
        other.replace(SHA256_MARK, sha256, 1),
    )
