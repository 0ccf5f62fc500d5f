"""Writes the Packages index of one architecture, cut into shards.

Takes: the entries of a suite, the architecture.
Gives: shards of whole stanzas.
Touches: nothing.

Source: Debian wiki, DebianRepository/Format, "Packages" indices.
"""

import hashlib
import zlib
from collections.abc import Iterable, Sequence

import structlog

from packrat_agent.formats.compress import Shard
from packrat_agent.model import Entry

log = structlog.get_logger()

_SHARD_STANZAS = 64
"""How many stanzas a shard has on average."""


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


def cut_shards(entries: Sequence[Entry]) -> list[Shard]:
    """Write the stanzas and cut them where a hash of the package says so: one more package changes one shard."""
    shards: list[Shard] = []
    stanzas: list[bytes] = []
    for entry in entries:
        fragment = entry.fragment
        key = f"{fragment.name} {fragment.version} {fragment.arch}".encode()
        if stanzas and zlib.crc32(key) % _SHARD_STANZAS == 0:
            shards.append(_shard(stanzas))
            stanzas = []
        stanzas.append(_stanza(entry))
    if stanzas:
        shards.append(_shard(stanzas))
    return shards


def _shard(stanzas: list[bytes]) -> Shard:
    plain = b"".join(stanzas)
    return Shard(plain, hashlib.sha256(plain).hexdigest())


def _stanza(entry: Entry) -> bytes:
    place = f"Filename: {entry.path}\nSize: {entry.size}\nSHA256: {entry.sha256}\n\n"
    return entry.fragment.body + place.encode()
