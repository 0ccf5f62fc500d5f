"""Writes the Packages index of one architecture as shards of whole stanzas, so that a change rewrites few of them.

Source: Debian wiki, DebianRepository/Format, "Packages" indices.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator

from packrat_agent.formats.compress import Shard
from packrat_agent.model.entries import Entry

_SHARD_STANZAS = 64
"""Average number of stanzas in a shard, if there were no limit."""
_SHARD_LIMIT = 128
"""Largest number of stanzas in a shard: adding a package costs the compression of its shard."""


Written = dict[bytes, tuple[list[Entry], Shard]]
"""Key of a shard's first package → the entries that the shard was written from, and the shard."""


def cut_shards(entries: Iterable[Entry], written: Written) -> list[Shard]:
    """Write the stanzas and cut them at boundaries chosen by a hash of the package, so that a new package changes one.

    Args:
        entries: the entries of the index, in its order.
        written: the shards of the last call, to reuse those that have not changed; this call's shards replace them.
    """
    before = dict(written)
    written.clear()
    shards: list[Shard] = []
    for key, run in _runs(entries):
        known = before.get(key)
        # Most entries are the same objects as in the last index, so this comparison is quick.
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
        # The boundary depends on the package alone, not on its position: an insertion leaves later shards as they are.
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
