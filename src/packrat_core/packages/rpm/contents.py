"""Checks that rpm can install the files of a package: it unpacks the payload in memory and holds it against the header.

A payload that contradicts the header was damaged before it was packed, or is that of another package. rpm finds out in
the middle of the installation, when scripts have run already.

1. The compression is the one that the header names. rpm reads the payload as it is if it doesn't know the name.
2. Each file of the header is in the archive once, but for ghosts; nothing else is. No file stands below another.
3. The content has the size and the digest of the header. Of several links to a file, the last one has the content.
4. Links to a file stand together, the one with the content last. Else rpm leaves some of them empty, or makes another
   file one of them.

Each file is hashed, as rpm does when it installs the package: that takes a third as long as to unpack zstd, and little
beside gzip and xz. What rpm doesn't read is not checked: owners, modes and dates in the archive, targets of symbolic
links, what follows the archive.

    check_contents(file)

Source: rpm's lib/fsm.c, lib/rpmfi.c, rpmio/rpmio.c.
"""

import hashlib
import stat
from typing import BinaryIO

from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.gzip_stream import GZIP_MAGIC
from packrat_core.archives.limits import check_count
from packrat_core.archives.plain_stream import PlainStream, Readable
from packrat_core.errors import Refused
from packrat_core.packages.parts import naming
from packrat_core.packages.rpm.cpio import CpioArchive, Member
from packrat_core.packages.rpm.header import Header, walk
from packrat_core.packages.rpm.payload import DigestedPayload
from packrat_core.packages.rpm.payload_files import PayloadFiles, read_files, shown
from packrat_core.packages.rpm.tags import BASE_NAMES, PAYLOAD_COMPRESSION

_XZ_MAGIC = b"\xfd"
_XZ_MEMORY_LIMIT = 100 * 1024 * 1024
"""What rpm gives the decompressor of xz and lzma; the usual levels need up to 65 MiB."""
_REPEATS_LIMIT = 1000
"""Members of the archive beyond the number of files: rpm takes directories several times, and ghosts."""
_AS_IT_IS = "none"
_COMPRESSIONS = {
    name: coding
    for coding, names in {
        "gzip": (b"gzip", b"gzdio"),
        "bzip2": (b"bzip2", b"bzdio"),
        "xz": (b"xz", b"xzdio", b"lzma", b"lzdio"),
        "zstd": (b"zstd", b"zstdio"),
    }.items()
    for name in names
}
"""Names that rpm knows, its own for the readers among them."""


def check_contents(file: BinaryIO) -> None:
    """Check the digests of header and payload, unpack the payload, and compare it with the header.

    Args:
        file: an rpm whose header `check_header` and `check_files` accept.

    Raises:
        Refused: a digest differs, or rpm would fail or do harm as it unpacks the payload.
    """
    file.seek(0)
    rpm = walk(file)
    start = file.read(2)
    payload = DigestedPayload(rpm, file)
    refusal = None
    # rpm does not open the payload of a package without files.
    if BASE_NAMES in rpm.header.items:
        try:
            _check_archive(rpm.header, start, payload)
        except Refused as error:
            refusal = error
    # That the file is damaged is the better reason.
    payload.finish()
    if refusal is not None:
        raise refusal


def _check_archive(header: Header, start: bytes, payload: Readable) -> None:
    files = read_files(header)
    compression = _compression(header, start)
    stream: PlainStream
    if compression == _AS_IT_IS:
        stream = _Unpacked(payload)
    else:
        stream = open_compressed(payload, compression, several=compression == "zstd", memory_limit=_XZ_MEMORY_LIMIT)
    named = header.text(PAYLOAD_COMPRESSION)
    with naming("its payload" if named is None else f"its payload, by its header in {shown(named)},"):
        _Unpacking(files, CpioArchive(stream)).check()


def _compression(header: Header, start: bytes) -> str:
    """Return how rpm reads a payload.

    Args:
        header: that of the package.
        start: the first two bytes of the payload.
    """
    name = header.text(PAYLOAD_COMPRESSION)
    coding = "gzip" if name is None else _COMPRESSIONS.get(name, _AS_IT_IS)
    # rpm lets liblzma find out which of two formats it is, and zlib passes on what is no gzip.
    if coding == "xz" and start[:1] != _XZ_MAGIC:
        return "lzma"
    return _AS_IT_IS if coding == "gzip" and start != GZIP_MAGIC else coding


class _Unpacked(PlainStream):
    """A payload that is not compressed."""

    def _fill(self) -> bool:
        self._buffer, self._at = self._read_packed(), 0
        self._count()
        return bool(self._buffer)


class _Unpacking:
    """Goes through an archive as rpm does when it installs the package."""

    def __init__(self, files: PayloadFiles, archive: CpioArchive) -> None:
        self._files = files
        self._archive = archive
        self._found: set[int] = set()
        self._first_link: int | None = None

    def check(self) -> None:
        """Read the archive to its end.

        Raises:
            Refused: it contradicts the header.
        """
        files, members = self._files, 0
        while (member := self._archive.next_member()) is not None:
            members += 1
            check_count(members, len(files.names) + _REPEATS_LIMIT)
            self._check_member(member)
        for number, name in enumerate(files.names):
            if number not in self._found and not files.ghosts[number]:
                raise Refused(f"it lacks {shown(b'/' + name)}, which its header lists")

    def _check_member(self, member: Member) -> None:
        files = self._files
        number = files.find(member.name) if member.size is not None else member.number
        if number is None or number >= len(files.names):
            word = shown(member.name) if member.size is not None else f"file {member.number}"
            raise Refused(f"it has {word}, which its header does not list")
        name = shown(b"/" + files.names[number])
        if files.ghosts[number]:
            # Old versions of rpm wrote some.
            if member.size is None:
                raise Refused(f"it has {name}, which its header calls a ghost, and rpm can't skip it")
            self._archive.skip_content(member.size)
            return
        kind = files.kinds[number]
        if number in self._found and kind != stat.S_IFDIR and number != self._first_link:
            raise Refused(f"it has {name} twice")
        self._found.add(number)
        if kind == stat.S_IFREG:
            self._check_file(number, name)
        elif kind == stat.S_IFLNK:
            size = files.sizes[number]
            if member.size is not None and member.size < size:
                raise Refused(f"it has {member.size} bytes of the symbolic link {name}, its header says {size}")
            self._archive.skip_content(size)

    def _check_file(self, number: int, name: str) -> None:
        of_all = self._files.links
        links = of_all.get(number, (number,))
        # One list for all links of a set: to look for the first one in it would take too long.
        if self._first_link is not None and of_all[self._first_link] is not links:
            raise Refused(f"it has {name} amid the links to another file, and rpm makes it one of them")
        if number != links[-1]:
            self._first_link = number if self._first_link is None else self._first_link
            return
        if not self._found.issuperset(links):
            raise Refused(f"it has {name} before other links to the same file, which rpm leaves empty then")
        self._first_link = None
        self._check_content(number, name)

    def _check_content(self, number: int, name: str) -> None:
        files = self._files
        digest = hashlib.new(files.algorithm, usedforsecurity=False)
        for data in self._archive.read_content(files.sizes[number]):
            digest.update(data)
        if not files.digests:
            raise Refused(
                f"it has {name}, and its header has no digests in {files.algorithm}, which rpm expects of files"
            )
        expected = files.digests[number]
        # Early packages have zeros for an empty file.
        is_early = files.algorithm == "md5" and not files.sizes[number] and not expected.strip("0")
        if expected != digest.hexdigest() and not is_early:
            raise Refused(f"it has other bytes of {name} than its header says, whose {files.algorithm} is {expected}")
