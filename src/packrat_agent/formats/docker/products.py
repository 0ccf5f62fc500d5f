"""Writes the files that are published of an image: blobs and manifests, each under its SHA-256.

Source: RFC 1952 (gzip).
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.formats.compress import GZIP_HEADER
from packrat_agent.formats.interface import IsWritten
from packrat_core.archives.plain_stream import READ_BYTES, Readable
from packrat_core.fs.atomic import replace
from packrat_core.fs.open import open_new


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: its SHA-256 and its size in bytes."""

    sha256: str
    size: int


class ProductWriter:
    """Writes into one directory, and can take back what it wrote; `is_written` tells what is written already."""

    def __init__(self, into: Path, is_written: IsWritten | None = None) -> None:
        self._into = into
        self._is_written = is_written
        self._new: set[str] = set()

    def has(self, name: str, sha256: str) -> bool:
        """Tell whether a product is written already."""
        return self._is_written is not None and self._is_written(name, sha256)

    def copy(self, source: Readable) -> Written:
        """Write a file as it is."""
        return self._write(_chunks(source))

    def compress(self, source: Readable) -> Written:
        """Write a file as gzip, always with the same bytes for the same file."""
        return self._write(_gzip(_chunks(source)))

    def put(self, data: bytes) -> Written:
        """Write bytes."""
        return self._write([data])

    def discard(self) -> None:
        """Remove the files that were written, except those that existed before."""
        for sha256 in self._new:
            self._path(sha256).unlink(missing_ok=True)
        self._new.clear()

    def _write(self, chunks: Iterable[bytes]) -> Written:
        digest = hashlib.sha256()
        size = 0
        spare = self._into / "unpacking"
        try:
            with open_new(spare) as output:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    output.write(chunk)
                os.fchmod(output.fileno(), 0o644)
            target = self._path(digest.hexdigest())
            # `discard` must not remove a file that was here before, such as the same layer of another image.
            if not target.exists():
                self._new.add(target.name)
            # What an earlier process left may lack its bytes, since it was not flushed.
            replace(spare, target)
        finally:
            spare.unlink(missing_ok=True)
        return Written(digest.hexdigest(), size)

    def _path(self, sha256: str) -> Path:
        return self._into / sha256


def _chunks(source: Readable) -> Iterator[bytes]:
    while chunk := source.read(READ_BYTES):
        yield chunk


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress without a name or date in the header, so that the same layer gives the same bytes."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    crc = size = 0
    yield GZIP_HEADER
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush() + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
