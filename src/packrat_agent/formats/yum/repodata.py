"""Writes primary, filelists and other, shard by shard.

Takes: the entries of a distribution version, the directory that places are relative to, the cache of compressed chunks.
Gives: the three files, compressed, with their checksums.
Touches: nothing but the cache.

Source: createrepo_c, `createrepo_c(8)`; the XML that yum, dnf and zypper read has no other description.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

import structlog

from packrat_agent.formats.compress import Shard, compress_gzip
from packrat_agent.formats.interface import ChunkCache
from packrat_agent.formats.yum.read_rpm import HREF_MARK, SHA256_MARK, SIZE_MARK
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, sha256_of

log = structlog.get_logger()

_SHARD_PACKAGES = 64
"""How many packages a shard has on average."""

_LINUX = "http://linux.duke.edu/metadata"
_ROOTS = {
    "primary": ("metadata", f'xmlns="{_LINUX}/common" xmlns:rpm="{_LINUX}/rpm"'),
    "filelists": ("filelists", f'xmlns="{_LINUX}/filelists"'),
    "other": ("otherdata", f'xmlns="{_LINUX}/other"'),
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """One metadata file: its gzip `content`, and size and SHA-256 of what is in it."""

    kind: str
    content: Content
    open_size: int
    open_checksum: str

    @property
    def name(self) -> str:
        """Its file name, which changes with its content."""
        return f"{self.content.digest}-{self.kind}.xml.gz"


def write_metadata(ordered: Sequence[Entry], below: str, chunks: ChunkCache) -> tuple[Metadata, ...]:
    """Write the three files; they list the packages in the same order. `below` ends with a slash."""
    shards: dict[str, list[Shard]] = {kind: [] for kind in _ROOTS}
    for run in _cut(ordered):
        filled = [_fill(entry, below) for entry in run]
        for number, kind in enumerate(_ROOTS):
            shards[kind].append(_shard(b"".join(parts[number] for parts in filled)))
    return tuple(_metadata(kind, len(ordered), shards[kind], chunks) for kind in _ROOTS)


def _cut(ordered: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Cut where a hash of the package says so: one more package changes one shard."""
    starts = [
        at
        for at, entry in enumerate(ordered)
        if at == 0 or zlib.crc32(f"{entry.fragment.name} {entry.fragment.version}".encode()) % _SHARD_PACKAGES == 0
    ]
    return [ordered[start:end] for start, end in pairwise([*starts, len(ordered)])]


def _fill(entry: Entry, below: str) -> tuple[bytes, bytes, bytes]:
    """Put what the index says of a package in place of the marks."""
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
