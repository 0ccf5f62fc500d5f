"""Compresses an index shard by shard, so that a change costs the compression of one shard.

    GZIP  # one gzip file of many members
    XZ    # one xz stream of many blocks

A coding packs each shard; the file is its head, the pieces of all shards in order, and its tail.

Source: RFC 1952; The .xz File Format 1.2.0.
"""

import lzma
import zlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_XZ_MAGIC = b"\xfd7zXZ\x00"
_XZ_FLAGS = b"\x00\x01"
_XZ_END = b"YZ"
_XZ_HEADER = 12
_XZ_DICTIONARY_BITS = (16, 22)


class Piece(NamedTuple):
    """What a file has of one shard, and what its tail says of that."""

    data: bytes
    record: bytes


class Coding(Protocol):
    """One way to compress an index.

    Attributes:
        name: that of its chunks in the cache; another one where the same input would give other bytes.
        head: what stands before the first piece.
    """

    name: str
    head: bytes

    def pack(self, plain: bytes) -> bytes:
        """Compress a shard, which is not empty, to a chunk that may be cached."""

    def piece(self, chunk: bytes) -> Piece:
        """Return the part of a chunk that stands in the file."""

    def tail(self, records: Sequence[bytes]) -> bytes:
        """Return the bytes behind the last piece.

        records: those of all pieces, in order.
        """


class Gzip:
    """One gzip file with a member for each shard; readers concatenate the members."""

    name = "gz-6"
    head = b""

    def pack(self, plain: bytes) -> bytes:
        """Compress a shard to a member."""
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(plain) + deflate.flush()
        return GZIP_HEADER + body + _crc32(plain) + (len(plain) & 0xFFFFFFFF).to_bytes(4, "little")

    def piece(self, chunk: bytes) -> Piece:
        """Give the member."""
        return Piece(chunk, b"")

    def tail(self, records: Sequence[bytes]) -> bytes:
        """Give an empty member where there is no other."""
        return b"" if records else self.pack(b"")


class Xz:
    """One xz stream with a block for each shard: apt rejects concatenated streams."""

    name = "xz-block-4"
    head = _XZ_MAGIC + _XZ_FLAGS + zlib.crc32(_XZ_FLAGS).to_bytes(4, "little")

    def pack(self, plain: bytes) -> bytes:
        """Give the block's unpadded and plain sizes (8 bytes each, little-endian), followed by the padded block."""
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

    def piece(self, chunk: bytes) -> Piece:
        """Give the block, and its sizes as the stream's index has them."""
        unpadded, plain = int.from_bytes(chunk[:8], "little"), int.from_bytes(chunk[8:16], "little")
        return Piece(chunk[16:], _varint(unpadded) + _varint(plain))

    def tail(self, records: Sequence[bytes]) -> bytes:
        """Give the stream's index and footer."""
        index = b"\x00" + _varint(len(records)) + b"".join(records)
        index += b"\x00" * (-len(index) % 4)
        index += _crc32(index)
        tail = (len(index) // 4 - 1).to_bytes(4, "little") + _XZ_FLAGS
        return index + _crc32(tail) + tail + _XZ_END


GZIP = Gzip()
XZ = Xz()


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
