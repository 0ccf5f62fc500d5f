"""Writes the Packages index of one architecture: a stanza for each package, cut into shards.

Source: Debian wiki, DebianRepository/Format, "Packages" indices.
"""

from packrat_agent.formats.sharded_index import ShardedIndex, Texts
from packrat_agent.model.entries import Entry

_SHARD_LIMIT = 128
"""Largest number of stanzas in a shard: adding a package costs the compression of its shard."""


def packages_index() -> ShardedIndex:
    """Make an empty Packages index."""
    return ShardedIndex(" ".join, limit=_SHARD_LIMIT)


def write_stanza(entry: Entry) -> Texts:
    """Write the stanza of a package."""
    return (entry.fragment.body + f"Filename: {entry.path}\nSize: {entry.size}\nSHA256: {entry.sha256}\n\n".encode(),)
