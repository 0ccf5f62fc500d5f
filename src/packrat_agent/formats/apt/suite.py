"""Keeps the Packages indexes of one suite, one for each architecture and one for `all`, true to the suite's entries."""

from collections import Counter
from collections.abc import Collection, Iterable

from packrat_agent.formats.apt.layout import ALL
from packrat_agent.formats.apt.packages_index import packages_index, write_stanza
from packrat_agent.formats.index_hash import IndexHash
from packrat_agent.formats.index_shards import Record
from packrat_agent.formats.interface import ChunkCache
from packrat_agent.formats.sharded_index import IndexBuilder, ShardedIndex
from packrat_agent.model.entries import Entry, IndexedPackage
from packrat_agent.model.tree import sha256_of
from packrat_agent.state.scratch import Scratch


class Suite:
    """The entries of a suite; the index of each architecture has those for `all`, too."""

    def __init__(self, scratch: Scratch) -> None:
        self._region = scratch.region()
        self._indexes: dict[str, ShardedIndex] = {ALL: packages_index(ALL, self._region)}
        self._entries_of: Counter[str] = Counter()

    def architectures(self) -> frozenset[str]:
        """The architectures that have packages of their own."""
        return frozenset(arch for arch, count in self._entries_of.items() if count) - {ALL}

    def index_of(self, architecture: str, chunks: ChunkCache) -> ShardedIndex:
        """Give the index of an architecture; one without packages of its own has those for `all`.

        Args:
            architecture: Debian's name of it.
            chunks: The cache of compressed shards.
        """
        index = self._indexes.get(architecture)
        if index is None:
            index = self._indexes[architecture] = packages_index(architecture, self._region)
            builder = index.build(chunks)
            for record in self._indexes[ALL].records():
                builder.add_record(record)
            builder.end()
        return index

    def digest(self) -> str:
        """Hash all that the indexes with packages say."""
        found = sorted((name, index.digest()) for name, index in self._indexes.items() if self._entries_of[name])
        return sha256_of(f"{name} {digest}\n".encode() for name, digest in found)

    def is_of(self, packages: Iterable[IndexedPackage]) -> bool:
        """Tell whether a suite made of these, in the order of the index, would say the same."""
        hashes = {name: IndexHash() for name in self._indexes}
        counts: Counter[str] = Counter()
        for package in packages:
            key = package.key
            architecture = key[2]
            counts[architecture] += 1
            if architecture not in hashes:
                return False
            stanza = write_stanza(package)
            if architecture != ALL:
                hashes[architecture].add(key, stanza)
                continue
            for found in hashes.values():
                found.add(key, stanza)
        same = all(self._indexes[name].digest() == found.digest() for name, found in hashes.items())
        return same and counts == self._entries_of

    def build(self, entries: Iterable[Entry], architectures: Collection[str], chunks: ChunkCache) -> None:
        """Make the indexes of an empty suite.

        Args:
            entries: All of the suite's, in the order of their packages.
            architectures: At least those of the entries.
            chunks: The cache of compressed shards.
        """
        builders: dict[str, IndexBuilder] = {}
        for architecture in {ALL, *architectures}:
            index = self._indexes[architecture] = packages_index(architecture, self._region)
            builders[architecture] = index.build(chunks)
        for entry in entries:
            architecture = entry.fragment.arch
            self._entries_of[architecture] += 1
            record = Record.of(entry, write_stanza(entry))
            for builder in builders.values() if architecture == ALL else (builders[architecture],):
                builder.add_record(record)
        for builder in builders.values():
            builder.end()

    def change(self, gone: Collection[Entry], new: Collection[Entry], chunks: ChunkCache) -> None:
        """Take entries out of the suite, and put others in.

        Args:
            gone: Entries that were put in before.
            new: Entries that are not in it.
            chunks: The cache of compressed shards.
        """
        for architecture in {entry.fragment.arch for entry in new}:
            self.index_of(architecture, chunks)
        self._entries_of.subtract(entry.fragment.arch for entry in gone)
        self._entries_of.update(entry.fragment.arch for entry in new)
        for architecture, index in self._indexes.items():
            index.change(_listed(gone, architecture), _listed(new, architecture), chunks)


def _listed(entries: Iterable[Entry], architecture: str) -> list[Entry]:
    return [entry for entry in entries if entry.fragment.arch in (architecture, ALL)]
