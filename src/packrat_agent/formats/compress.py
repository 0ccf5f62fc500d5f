"""Compresses an index shard by shard, so that a change costs the compression of one shard.

    compress_gzip(shards, chunks)  # one gzip file of many members
    compress_xz(shards, chunks)  # one xz stream of many blocks

Source: RFC 1952; The .xz File Format 1.2.0.
"""

import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from packrat_agent.formats.interface import ChunkCache
from packrat_agent.model.tree import Content

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_XZ_MAGIC = b"\xfd7zXZ\x00"
_XZ_FLAGS = b"\x00\x01"
_XZ_END = b"YZ"
_XZ_HEADER = 12
_GZ = "gz-6"
_XZ = "xz-block-4"
_XZ_DICTIONARY_BITS = (16, 22)
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of whole entries of an index: their texts; the SHA-256 of them all in hex, and their size in bytes."""

    texts: tuple[bytes, ...]
    digest: str
    size: int

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> "Shard":
        """Make a shard of its texts."""
        run = tuple(texts)
        plain = b"".join(run)
        return cls(run, hashlib.sha256(plain).hexdigest(), len(plain))

    @property
    def plain(self) -> bytes:
        """The texts joined. They are not kept so: the index has each of them already."""
        return b"".join(self.texts)


def compress_gzip(shards: Sequence[Shard], chunks: ChunkCache) -> Content:
    """Compress the shards to one gzip file with a member for each; readers concatenate the members."""
    return Content(tuple(_chunks(shards, chunks, _GZ, _gzip_member)) or (_gzip_member(b""),))


def compress_xz(shards: Sequence[Shard], chunks: ChunkCache) -> Content:
    """Compress the shards to one xz stream with a block for each.

    apt rejects concatenated streams but reads one stream of many blocks.
    """
    header = _XZ_MAGIC + _XZ_FLAGS + _crc32(_XZ_FLAGS)
    blocks = []
    records = []
    for chunk in _chunks(shards, chunks, _XZ, _xz_chunk):
        unpadded, plain = int.from_bytes(chunk[:8], "little"), int.from_bytes(chunk[8:16], "little")
        records.append(_varint(unpadded) + _varint(plain))
        blocks.append(chunk[16:])
    index = b"\x00" + _varint(len(records)) + b"".join(records)
    index += b"\x00" * (-len(index) % 4)
    index += _crc32(index)
    tail = (len(index) // 4 - 1).to_bytes(4, "little") + _XZ_FLAGS
    return Content((header, *blocks, index + _crc32(tail) + tail + _XZ_END))


def _chunks(shards: Sequence[Shard], cache: ChunkCache, coding: str, compress: Callable[[bytes], bytes]) -> list[bytes]:
    # liblzma does not make a block of empty input.
    shards = [shard for shard in shards if shard.size]
    found = [cache.get(coding, shard.digest) for shard in shards]
    missing = [number for number, chunk in enumerate(found) if chunk is None]
    if len(missing) > 1:
        # Threads help here, because zlib and lzma release the GIL.
        with ThreadPoolExecutor(_THREADS) as threads:
            made = list(threads.map(lambda number: compress(shards[number].plain), missing))
    else:
        made = [compress(shards[number].plain) for number in missing]
    for number, chunk in zip(missing, made, strict=True):
        cache.put(coding, shards[number].digest, chunk)
        found[number] = chunk
    return [chunk for chunk in found if chunk is not None]


def _gzip_member(plain: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(plain) + deflate.flush()
    return _GZIP_HEADER + body + _crc32(plain) + (len(plain) & 0xFFFFFFFF).to_bytes(4, "little")


def _xz_chunk(plain: bytes) -> bytes:
    """Return the block's unpadded and plain sizes (8 bytes each, little-endian), followed by the padded block."""
    # A dictionary larger than the shard finds no more matches, and costs memory here and in every client.
    dictionary = 1 << min(max(_XZ_DICTIONARY_BITS[0], (len(plain) - 1).bit_length()), _XZ_DICTIONARY_BITS[1])
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 4, "dict_size": dictionary}]
    # liblzma only writes whole streams through this interface: take the block out, and its sizes from the index.
    stream = lzma.compress(plain, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    index_size = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
    block = stream[_XZ_HEADER : len(stream) - _XZ_HEADER - index_size]
    index = stream[len(stream) - _XZ_HEADER - index_size : -_XZ_HEADER]
    count, at = _read_varint(index, 1)
    unpadded, at = _read_varint(index, at)
    size, _ = _read_varint(index, at)
    assert count == 1
    assert size == len(plain)
    return unpadded.to_bytes(8, "little") + size.to_bytes(8, "little") + block


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
        shift += 7
