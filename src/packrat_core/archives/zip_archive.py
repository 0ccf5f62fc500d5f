"""Reads a zip archive, and refuses one that reads differently by its central directory and from front to back.

Most clients use the central directory; some (uv, while it downloads) use the local header before each member. The local
headers must therefore agree with the directory, and the members must fill the file without gaps, overlaps or unlisted
members.

Source: APPNOTE.TXT 6.3.10 of the ZIP format.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from operator import attrgetter
from typing import BinaryIO

from packrat_core.archives.limits import check_unpacked
from packrat_core.archives.zip_directory import (
    ENCRYPTED,
    IN_EXTRA_32,
    UTF_8,
    WITH_DESCRIPTOR,
    ZipMember,
    find_directory,
    read_at,
    read_entries,
    widen,
)
from packrat_core.errors import Damaged, Refused
from packrat_core.text import count_of

__all__ = ["ZipArchive", "ZipMember"]

_LOCAL = struct.Struct("<4s5H3L2H")
_CHUNK_BYTES = 256 * 1024
_STORED, _DEFLATED = 0, 8


class ZipArchive:
    """The members of a zip archive, in the order of its central directory."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the directory and every local header.

        Raises:
            Refused: The archive is truncated, ambiguous or a bomb, or has a member that could harm a client.
        """
        self._file = file
        size = file.seek(0, os.SEEK_END)
        directory = find_directory(file, size)
        self.members = list(read_entries(read_at(file, directory.offset, directory.size)))
        if len(self.members) != directory.members:
            members = count_of(len(self.members), "member")
            raise Damaged(f"it is damaged: its central directory has {members} and says {directory.members}")
        check_unpacked(sum(map(attrgetter("unpacked"), self.members)), size)
        self._starts = self._check_locals(directory.offset)

    def read(self, member: ZipMember, limit: int) -> bytes:
        """Return the bytes of a member.

        Raises:
            Refused: They are more than `limit`, damaged, or compressed by a method that clients don't support.
        """
        if max(member.packed, member.unpacked) > limit:
            raise Refused(f"its {member.name[:80]} has {member.unpacked} bytes, the limit is {limit}")
        plain = self._inflate_at_once(member)
        return b"".join(self.chunks(member)) if plain is None else plain

    def check_payload(self) -> None:
        """Decompress all members and check their sizes and checksums.

        Raises:
            Refused: A member is damaged, or compressed by a method that clients don't support.
        """
        for member in self.members:
            for _ in self.chunks(member):
                pass

    def chunks(self, member: ZipMember) -> Iterator[bytes]:
        """Yield the bytes of a member in chunks; check its size and checksum at the end.

        Raises:
            Refused: It is truncated, damaged, or compressed by a method that clients don't support.
        """
        if member.method not in (_STORED, _DEFLATED):
            raise Refused(f"its {member.name[:80]} is compressed by method {member.method}; 0 and 8 can be read")
        crc = size = 0
        for chunk in self._stored(member) if member.method == _STORED else self._inflated(member):
            crc = zlib.crc32(chunk, crc)
            size += len(chunk)
            # Stop early: a bomb may unpack to far more than it declares.
            if size > member.unpacked:
                break
            yield chunk
        if size != member.unpacked or crc != member.crc:
            raise Damaged(f"it is damaged: its {member.name[:80]} is not as long, or not the same, as it says")

    def _stored(self, member: ZipMember) -> Iterator[bytes]:
        at = self._starts[member.offset]
        for offset in range(at, at + member.packed, _CHUNK_BYTES):
            yield read_at(self._file, offset, min(_CHUNK_BYTES, at + member.packed - offset))

    def _inflated(self, member: ZipMember) -> Iterator[bytes]:
        # Negative window bits: a raw deflate stream, without header and checksum.
        inflate = zlib.decompressobj(-15)
        try:
            for chunk in self._stored(member):
                waiting = chunk
                while waiting and not inflate.eof:
                    if plain := inflate.decompress(waiting, _CHUNK_BYTES):
                        yield plain
                    waiting = inflate.unconsumed_tail
                if inflate.unused_data or waiting:
                    raise Refused(f"its {member.name[:80]} has bytes after the end of its deflate stream")
            while plain := inflate.decompress(b"", _CHUNK_BYTES):
                yield plain
        except zlib.error as error:
            raise Damaged(f"it is damaged: its {member.name[:80]} is not a valid deflate stream: {error}") from None
        if not inflate.eof:
            raise Damaged(f"it is damaged: the deflate stream of its {member.name[:80]} has no end")

    def _inflate_at_once(self, member: ZipMember) -> bytes | None:
        """Return the bytes of a small member in a third of the time; None if it is large, or anything is wrong."""
        if member.method != _DEFLATED or member.packed > _CHUNK_BYTES:
            return None
        inflate = zlib.decompressobj(-15)
        try:
            # With room for a byte more than there should be, so that the end of the stream is read, too.
            packed = read_at(self._file, self._starts[member.offset], member.packed)
            plain = inflate.decompress(packed, member.unpacked + 1)
        except zlib.error:
            return None
        is_whole = inflate.eof and not inflate.unused_data
        return plain if is_whole and len(plain) == member.unpacked and zlib.crc32(plain) == member.crc else None

    def _check_locals(self, directory: int) -> dict[int, int]:
        """Check that the members fill the file up to the directory.

        Args:
            directory: Offset of the central directory.

        Returns:
            Offset of a member's local header → offset of its bytes.

        Raises:
            Refused: There are gaps or overlaps, or a local header disagrees with the directory.
        """
        ordered = sorted(self.members, key=attrgetter("offset"))
        offsets = [*(member.offset for member in ordered), directory]
        if offsets[0]:
            raise Refused("it has bytes before the zip archive that belong to nothing")
        starts = {}
        for member, end in zip(ordered, offsets[1:], strict=True):
            start = self._check_local(member)
            starts[member.offset] = start
            behind = end - start - member.packed
            if behind < 0:
                raise Refused(f"its member {member.name[:80]!r} overlaps what follows")
            if behind:
                self._check_behind(member, end - behind, behind)
        return starts

    def _check_local(self, member: ZipMember) -> int:
        """Compare the local header with the directory; return the offset of the member's bytes."""
        if member.repeated:
            # Fast path: nearly all writers repeat the fields of the directory entry byte by byte.
            self._file.seek(member.offset)
            data = self._file.read(_LOCAL.size + len(member.raw_name))
            if data.startswith(b"PK\3\4" + member.repeated) and data.endswith(member.raw_name, _LOCAL.size):
                return member.offset + len(data) + (data[28] | data[29] << 8)
        name_size = len(member.raw_name)
        data = read_at(self._file, member.offset, _LOCAL.size + name_size)
        signature, _, flags, method, _, _, crc, packed, unpacked, local_name_size, extra_size = _LOCAL.unpack_from(data)
        if signature != b"PK\3\4" or data[_LOCAL.size :] != member.raw_name or local_name_size != name_size:
            raise _disagreement(member)
        start = member.offset + _LOCAL.size + name_size
        if IN_EXTRA_32 in (packed, unpacked):
            extra = read_at(self._file, start, extra_size)
            unpacked, packed = widen((unpacked, packed), extra, member.raw_name)
        found, expected = (crc, packed, unpacked), (member.crc, member.packed, member.unpacked)
        if found != expected and not (
            # A writer that can't seek back leaves them zero and writes them after the member.
            flags & WITH_DESCRIPTOR and all(value in (0, stated) for value, stated in zip(found, expected, strict=True))
        ):
            raise _disagreement(member)
        differs = (flags ^ member.flags) & (ENCRYPTED | (0 if member.raw_name.isascii() else UTF_8))
        if differs or method != member.method:
            raise _disagreement(member)
        return start + int(extra_size)

    def _check_behind(self, member: ZipMember, at: int, size: int) -> None:
        """Accept only a data descriptor between the bytes of a member and what follows.

        Args:
            member: The member.
            at: Offset of the bytes in question.
            size: Their number.

        Raises:
            Refused: Other bytes are there.
        """
        # The descriptor has 32-bit or 64-bit sizes, with or without a signature.
        for form in ("<3L", "<L2Q"):
            width = struct.calcsize(form)
            if size in (width, width + 4) and max(member.packed, member.unpacked) < 1 << (32 if form == "<3L" else 64):
                descriptor = struct.pack(form, member.crc, member.packed, member.unpacked)
                if read_at(self._file, at, size) in (descriptor, b"PK\7\x08" + descriptor):
                    return
        raise Refused(f"it has bytes after its member {member.name[:80]!r} that belong to nothing")


def _disagreement(member: ZipMember) -> Refused:
    return Refused(f"its central directory and its local header disagree about {member.name[:80]}")
