"""Writes the Packages index of one architecture: a stanza for each package, cut into shards.

Source: Debian wiki, DebianRepository/Format, "Packages" indices.
"""

from packrat_agent.formats.compress import GZIP, XZ
from packrat_agent.formats.index_shards import Texts
from packrat_agent.formats.sharded_index import IndexLayout, ShardedIndex
from packrat_agent.model.entries import Indexed
from packrat_agent.state.scratch import Region

_SHARD_LIMIT = 128
"""Largest number of stanzas in a shard: adding a package costs the compression of its shard."""

_LAYOUT = IndexLayout(" ".join, (XZ, GZIP), limit=_SHARD_LIMIT)


def packages_index(architecture: str, region: Region) -> ShardedIndex:
    """Make an empty Packages index.

    Args:
        architecture: Debian's name of it; the log names duplicates of the packages that are for no other.
        region: Where it is kept.
    """
    return ShardedIndex(_LAYOUT, write_stanza, region, lambda key: key[2] == architecture)


def write_stanza(package: Indexed) -> Texts:
    """Write the stanza of a package."""
    return (package.body + f"Filename: {package.path}\nSize: {package.size}\nSHA256: {package.sha256}\n\n".encode(),)
