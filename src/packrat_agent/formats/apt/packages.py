"""Writes the Packages index of one architecture, cut into shards.

Takes: the entries of a suite, the architecture.
Gives: shards of whole stanzas.
Touches: nothing.

Source: Debian wiki, DebianRepository/Format, "Packages" indices.
"""

import hashlib
import zlib
from collections.abc import Iterable

import structlog

from packrat_agent.formats.compress import Shard
from packrat_agent.model import Entry

log = structlog.get_logger()

_SHARD_STANZAS = 64
"""How many stanzas a shard has on average, were there no limit."""
_SHARD_LIMIT = 128
"""How many it has at most: what one more package costs is the compression of its shard."""


def sort_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Order the entries for the index, one for each name, version and architecture: that of the newest record."""
    newest: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        key = (entry.fragment.name, entry.fragment.version, entry.fragment.arch)
        other = newest.setdefault(key, entry)
        if other is not entry and other.file.sha256 != entry.file.sha256:
            newest[key] = max(other, entry, key=lambda one: (len(one.file.uri), one.file.uri))
            log.warning("duplicate", package=key[0], version=key[1], arch=key[2], kept=newest[key].file.file_name)
    return [newest[key] for key in sorted(newest)]


def cut_shards(entries: Iterable[Entry]) -> list[Shard]:
    """Write the stanzas and cut them where a hash of the package says so: one more package changes one shard."""
    shards: list[Shard] = []
    parts: list[bytes] = []
    for entry in entries:
        fragment = entry.fragment
        key = f"{fragment.name} {fragment.version} {fragment.arch}".encode()
        if parts and (zlib.crc32(key) % _SHARD_STANZAS == 0 or len(parts) >= 2 * _SHARD_LIMIT):
            shards.append(_shard(parts))
            parts = []
        parts.append(fragment.body)
        parts.append(f"Filename: {entry.path}\nSize: {entry.size}\nSHA256: {entry.sha256}\n\n".encode())
    if parts:
        shards.append(_shard(parts))
    return shards


def _shard(parts: list[bytes]) -> Shard:
    plain = b"".join(parts)
    return Shard(plain, hashlib.sha256(plain).hexdigest())
