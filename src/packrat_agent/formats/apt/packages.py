"""Writes the Packages index of one architecture, cut into shards.

Takes: the entries of a suite, the architecture.
Gives: shards of whole stanzas.
Touches: nothing.

Source: Debian wiki, DebianRepository/Format, "Packages" indices.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator

import structlog

from packrat_agent.formats.compress import Shard
from packrat_agent.model.entries import Entry

log = structlog.get_logger()

_SHARD_STANZAS = 64
"""How many stanzas a shard has on average, were there no limit."""
_SHARD_LIMIT = 128
"""How many it has at most: what one more package costs is the compression of its shard."""


Written = dict[bytes, tuple[list[Entry], Shard]]
"""Shards by what identifies their first package, with the entries that they were written from."""


def cut_shards(entries: Iterable[Entry], written: Written) -> list[Shard]:
    """Write the stanzas and cut them where a hash of the package says so: one more package changes one shard.

    written: what the last call left there; those shards are used again, and these are left in their stead.
    """
    before = dict(written)
    written.clear()
    shards: list[Shard] = []
    for key, run in _runs(entries):
        known = before.get(key)
        # The entries of the last index are mostly the same objects, which makes this quick.
        shard = known[1] if known is not None and known[0] == run else _write(run)
        written[key] = (run, shard)
        shards.append(shard)
    return shards


def _runs(entries: Iterable[Entry]) -> Iterator[tuple[bytes, list[Entry]]]:
    first = b""
    run: list[Entry] = []
    for entry in entries:
        fragment = entry.fragment
        key = f"{fragment.name} {fragment.version} {fragment.arch}".encode()
        if run and (zlib.crc32(key) % _SHARD_STANZAS == 0 or len(run) >= _SHARD_LIMIT):
            yield first, run
            run = []
        if not run:
            first = key
        run.append(entry)
    if run:
        yield first, run


def _write(entries: list[Entry]) -> Shard:
    parts: list[bytes] = []
    for entry in entries:
        parts.append(entry.fragment.body)
        parts.append(f"Filename: {entry.path}\nSize: {entry.size}\nSHA256: {entry.sha256}\n\n".encode())
    plain = b"".join(parts)
    return Shard(plain, hashlib.sha256(plain).hexdigest())
