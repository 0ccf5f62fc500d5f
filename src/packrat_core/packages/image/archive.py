"""Takes files out of an image archive, each by its name, streamed.

Takes: an open archive, names of its members.
Gives: small files as bytes; large ones copied, or compressed, into a directory under their SHA-256.
Touches: the archive; the directory.

Source: RFC 1952 (gzip).
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packrat_agent.formats.docker.read_tar import Member, follow, read_members
from packrat_core.errors import Refused

_CHUNK_BYTES = 1024 * 1024
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was taken out; `plain` is the SHA-256 of what stood in the archive."""

    sha256: str
    size: int
    plain: str


class Archive:
    """The members of one image archive."""

    def __init__(self, file: BinaryIO, into: Path) -> None:
        """Raises: Refused where the file is no whole, honest tar file."""
        self._file = file
        self._into = into
        self._members = read_members(file)
        self._written: set[str] = set()
        self._taken: dict[int, Taken] = {}

    def has(self, name: str) -> bool:
        """True where there is such a file."""
        return follow(self._members, name) is not None

    def read(self, name: str, limit: int) -> bytes:
        """Give a small file.

        Raises: Refused where there is none, or it has more bytes than the limit.
        """
        member = self._find(name)
        if member.size > limit:
            raise Refused(f"its {name[:120]} has {member.size} bytes, the limit is {limit}")
        self._file.seek(member.offset)
        data = self._file.read(member.size)
        if len(data) != member.size:
            raise Refused("it is torn: a tar member is cut off")
        return data

    def take(self, name: str, *, as_gzip: bool = False) -> Taken:
        """Copy a file out, under its SHA-256; as_gzip: what is not compressed yet is compressed on the way.

        A file is taken once, however many names lead to it, and always in the same way.
        Raises: Refused
        """
        member = self._find(name)
        taken = self._taken.get(member.offset)
        if taken is None:
            plain = hashlib.sha256()
            as_gzip = as_gzip and not self._is_gzip(member, name)
            chunks = self._chunks(member)
            taken = self._write(_gzip(chunks, plain) if as_gzip else _counted(chunks, plain), plain)
            self._taken[member.offset] = taken
        return taken

    def put(self, data: bytes) -> Taken:
        """Write bytes that belong to the image beside what is taken out."""
        plain = hashlib.sha256()
        return self._write(_counted(iter([data]), plain), plain)

    def discard(self) -> None:
        """Begin anew: remove what was taken out, where it was not there before."""
        for sha256 in self._written:
            (self._into / sha256).unlink(missing_ok=True)
        self._written.clear()
        self._taken.clear()

    def _find(self, name: str) -> Member:
        member = follow(self._members, name)
        if member is None:
            raise Refused(f"it has no {name[:120]}")
        return member

    def _is_gzip(self, member: Member, name: str) -> bool:
        self._file.seek(member.offset)
        magic = self._file.read(min(4, member.size))
        if magic == _ZSTD_MAGIC:
            raise Refused(f"its layer {name[:120]} is compressed as zstd; save it as an OCI archive")
        return magic.startswith(_GZIP_MAGIC)

    def _chunks(self, member: Member) -> Iterator[bytes]:
        self._file.seek(member.offset)
        left = member.size
        while left:
            chunk = self._file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise Refused("it is torn: a tar member is cut off")
            left -= len(chunk)
            yield chunk

    def _write(self, chunks: Iterator[bytes], plain: "hashlib._Hash") -> Taken:
        digest = hashlib.sha256()
        size = 0
        spare = self._into / "unpacking"
        try:
            with spare.open("wb") as output:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    output.write(chunk)
            spare.chmod(0o644)
            target = self._into / digest.hexdigest()
            if not target.exists():
                self._written.add(target.name)
            spare.replace(target)
        finally:
            spare.unlink(missing_ok=True)
        return Taken(digest.hexdigest(), size, plain.hexdigest())


def _counted(chunks: Iterator[bytes], plain: "hashlib._Hash") -> Iterator[bytes]:
    for chunk in chunks:
        plain.update(chunk)
        yield chunk


def _gzip(chunks: Iterator[bytes], plain: "hashlib._Hash") -> Iterator[bytes]:
    """Compress without a name or date: the same layer gives the same bytes."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    crc = size = 0
    yield _GZIP_HEADER
    for chunk in chunks:
        plain.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush() + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
