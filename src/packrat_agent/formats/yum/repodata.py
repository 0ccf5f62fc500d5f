"""Writes the repodata: primary, filelists and other, compressed shard by shard, and repomd.xml, which lists them.

1. The three files list the packages in the same order.
2. A shard ends where a hash of its last package says so, so that a new package changes one shard.

Source: createrepo_c, `createrepo_c(8)`; the XML that yum, dnf and zypper read has no other description.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from packrat_agent.formats.compress import Shard, compress_gzip
from packrat_agent.formats.interface import ChunkCache
from packrat_agent.formats.yum.read_rpm import HREF_MARK, SHA256_MARK, SIZE_MARK
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, sha256_of

AS_UPLOADED = "package-signatures:as-uploaded"
"""A content tag of repomd.xml: packages need not be signed by this mirror."""

_SHARD_PACKAGES = 64
"""Average number of packages in a shard."""

_LINUX = "http://linux.duke.edu/metadata"
_ROOTS = {
    "primary": ("metadata", f'xmlns="{_LINUX}/common" xmlns:rpm="{_LINUX}/rpm"'),
    "filelists": ("filelists", f'xmlns="{_LINUX}/filelists"'),
    "other": ("otherdata", f'xmlns="{_LINUX}/other"'),
}


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


def write_metadata(ordered: Sequence[Entry], below: str, chunks: ChunkCache) -> tuple[Metadata, ...]:
    """Write the three files, which list the packages in the same order.

    Args:
        ordered: the entries of a distribution version, in the order of the index.
        below: the directory that the packages' paths are relative to in the index, with a trailing slash.
        chunks: the cache of compressed shards.
    """
    shards: dict[str, list[Shard]] = {kind: [] for kind in _ROOTS}
    for run in _cut(ordered):
        filled = [_fill(entry, below) for entry in run]
        for number, kind in enumerate(_ROOTS):
            shards[kind].append(_shard(b"".join(parts[number] for parts in filled)))
    return tuple(_metadata(kind, len(ordered), shards[kind], chunks) for kind in _ROOTS)


@dataclass(frozen=True, slots=True)
class Tags:
    """What repomd.xml says besides: texts of its content tags, and the name of its repository; '' for none."""

    contents: Sequence[str] = ()
    repository: str = ""

    def lines(self) -> list[str]:
        """Write them out."""
        named = [("content", text) for text in self.contents]
        named += [("repo", self.repository)] if self.repository else []
        written = [f"    <{name}>{escape(text)}</{name}>" for name, text in named]
        return ["  <tags>", *written, "  </tags>"] if written else []


def write_repomd(metadata: Sequence[Metadata], revision: int, tags: Tags) -> bytes:
    """Write repomd.xml.

    Args:
        metadata: the metadata files, in the order in which they are listed.
        revision: epoch seconds; also the timestamp of each file.
        tags: what it says besides.
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


def _cut(ordered: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Cut the entries at boundaries chosen by a hash of the package, so that a new package changes one shard."""
    starts = [
        at
        for at, entry in enumerate(ordered)
        if at == 0 or zlib.crc32(f"{entry.fragment.name} {entry.fragment.version}".encode()) % _SHARD_PACKAGES == 0
    ]
    return [ordered[start:end] for start, end in pairwise([*starts, len(ordered)])]


def _fill(entry: Entry, below: str) -> tuple[bytes, bytes, bytes]:
    """Replace the marks in a package's fragments by the values of the index."""
    sha256 = entry.sha256.encode()
    href = escape(entry.path.removeprefix(below), {'"': "&quot;"}).encode()
    primary, filelists, other = entry.fragment.body.split(b"\0")
    primary = primary.replace(SHA256_MARK, sha256, 1).replace(HREF_MARK, href, 1)
    return (
        primary.replace(SIZE_MARK, str(entry.size).encode(), 1),
        filelists.replace(SHA256_MARK, sha256, 1),
        other.replace(SHA256_MARK, sha256, 1),
    )


def _metadata(kind: str, count: int, shards: Sequence[Shard], chunks: ChunkCache) -> Metadata:
    root, namespaces = _ROOTS[kind]
    opening = _shard(f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {namespaces} packages="{count}">\n'.encode())
    closing = _shard(f"</{root}>\n".encode())
    everything = (opening, *shards, closing)
    content = compress_gzip(everything, chunks)
    plain = sha256_of(shard.plain for shard in everything)
    size = sum(len(shard.plain) for shard in everything)
    return Metadata(kind, content, size, plain)


def _shard(plain: bytes) -> Shard:
    return Shard(plain, hashlib.sha256(plain).hexdigest())
