"""Takes files out of an image archive by their names.

Small files are returned as bytes; large ones are streamed into a directory, copied or compressed, and named by their
SHA-256.

Source: RFC 1952 (gzip).
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packrat_core.archives.gzip_stream import GZIP_MAGIC
from packrat_core.archives.member_names import resolve_link
from packrat_core.archives.tar import TarKind, TarLimits, TarMember, TarReader, refuse_unsafe
from packrat_core.archives.tar_source import FileSource
from packrat_core.errors import Refused

_CHUNK_BYTES = 1024 * 1024
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LIMITS = TarLimits(members=20_000, name=1024, extended=64 * 1024)
_LINKS_FOLLOWED = 8


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was taken out: the SHA-256 and size in bytes of the copy; `plain` is the SHA-256 in the archive."""

    sha256: str
    size: int
    plain: str


def list_members(file: BinaryIO) -> dict[str, TarMember]:
    """Map the names of files and links in a tar file to their members; directories are left out.

    Raises:
        Refused: it is not a complete tar file, or a member is unsafe or occurs twice.
    """
    members: dict[str, TarMember] = {}
    for member in TarReader(FileSource(file), _LIMITS):
        refuse_unsafe(member)
        if member.kind is TarKind.DIRECTORY:
            continue
        if member.name in members:
            raise Refused(f"it has two members called {member.name[:120]!r}")
        members[member.name] = member
    return members


class Archive:
    """The members of one image archive."""

    def __init__(self, file: BinaryIO, into: Path) -> None:
        """List the members.

        Args:
            file: the open archive; it stays open as long as this object is used.
            into: the directory for the files that are taken out.

        Raises:
            Refused: the file is not a complete tar file, or a member is unsafe or occurs twice.
        """
        self._file = file
        self._into = into
        self._members = list_members(file)
        self._written: set[str] = set()
        self._taken: dict[int, Taken] = {}

    def has(self, name: str) -> bool:
        """Return whether the archive has a file of that name, following links."""
        return self._follow(name) is not None

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of a small file.

        Raises:
            Refused: there is no such file, or it has more bytes than the limit.
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
        """Copy a file into the directory under its SHA-256.

        A file is copied once, however many names lead to it; the first call decides about compression.

        Args:
            name: the name of the file.
            as_gzip: compress the file unless it is compressed already.

        Raises:
            Refused: there is no such file, it is torn, or it is to be gzip but is zstd.
        """
        member = self._find(name)
        taken = self._taken.get(member.offset)
        if taken is None:
            plain = hashlib.sha256()
            # A layer that is gzip already is copied as it is: compressing it again would change its digest.
            as_gzip = as_gzip and not self._is_gzip(member, name)
            chunks = self._chunks(member)
            taken = self._write(_gzip(chunks, plain) if as_gzip else _counted(chunks, plain), plain)
            self._taken[member.offset] = taken
        return taken

    def put(self, data: bytes) -> Taken:
        """Write further bytes of the image into the directory under their SHA-256."""
        plain = hashlib.sha256()
        return self._write(_counted(iter([data]), plain), plain)

    def discard(self) -> None:
        """Start again: remove the files that were written, except those that existed before."""
        for sha256 in self._written:
            (self._into / sha256).unlink(missing_ok=True)
        self._written.clear()
        self._taken.clear()

    def _follow(self, name: str) -> TarMember | None:
        """Find a file by its name, following links inside the archive; None if there is none."""
        path = name
        for _ in range(_LINKS_FOLLOWED):
            member = self._members.get(path)
            if member is None or member.is_file:
                return member
            path = resolve_link(member.name, member.target, symbolic=member.kind is TarKind.SYMBOLIC_LINK)
        raise Refused(f"its links go in a circle, or on and on, at {name[:120]!r}")

    def _find(self, name: str) -> TarMember:
        member = self._follow(name)
        if member is None:
            raise Refused(f"it has no {name[:120]}")
        return member

    def _is_gzip(self, member: TarMember, name: str) -> bool:
        self._file.seek(member.offset)
        magic = self._file.read(min(4, member.size))
        if magic == _ZSTD_MAGIC:
            raise Refused(f"its layer {name[:120]} is compressed as zstd", hint="save it as an OCI archive")
        return magic.startswith(GZIP_MAGIC)

    def _chunks(self, member: TarMember) -> Iterator[bytes]:
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
            # `discard` must not remove a file that was here before, such as the same layer of another image.
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
    """Compress without a name or date in the header, so that the same layer gives the same bytes."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    crc = size = 0
    yield _GZIP_HEADER
    for chunk in chunks:
        plain.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush() + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
