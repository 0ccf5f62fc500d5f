"""Reads the control paragraph out of a .deb, trusting nothing in it.

Takes: the path of a .deb.
Gives: the bytes of its `control` file.
Touches: the file, no further than its control archive.

Source: deb(5), ar(5), POSIX.1 ustar.
"""

import lzma
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

from backports import zstd

from packrat_core.errors import Refused

CONTROL_ARCHIVE_LIMIT = 64 * 1024 * 1024
"""Bytes of a control archive, packed or unpacked; a real one has some kilobytes."""

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_TAR_BLOCK = 512
_XZ_MEMORY_LIMIT = 256 * 1024 * 1024
_TAR_MEMBERS_LIMIT = 10_000


def read_control(path: Path) -> bytes:
    """Give the bytes of the member `control` of the control archive of a Debian binary package.

    Raises: Refused where the file is no such package, is torn, or holds what could mislead a client.
    """
    with path.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise Refused("it is no .deb: the ar signature is missing")
        name, size = _ar_member(file)
        if name != "debian-binary":
            raise Refused(f"it is no .deb: its first member is {name!r}, not debian-binary")
        if size > 64 or not _read(file, size + size % 2).startswith(b"2."):
            raise Refused("it is a .deb of a format version other than 2")
        name, size = _ar_member(file)
        if not name.startswith("control.tar"):
            raise Refused(f"its second member is {name!r}, not the control archive")
        if size > CONTROL_ARCHIVE_LIMIT:
            raise Refused(f"its control archive has {size} bytes, the limit is {CONTROL_ARCHIVE_LIMIT}")
        packed = _read(file, size)
    return _control_member(_unpack(name, packed))


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise Refused("it is torn: the file ends inside a member")
    return data


def _ar_member(file: BinaryIO) -> tuple[str, int]:
    header = file.read(_AR_HEADER)
    if len(header) != _AR_HEADER or header[58:] != b"`\n":
        raise Refused("it is torn: an ar member header is missing or broken")
    digits = header[48:58].rstrip(b" ")
    if not digits.isdigit():
        raise Refused("it is torn: the size of an ar member is no number")
    name = header[:16].rstrip(b" ").removesuffix(b"/")
    return name.decode("ascii", "backslashreplace"), int(digits)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _unpack(name: str, packed: bytes) -> bytes:
    match name.removeprefix("control.tar"):
        case "":
            return packed
        case ".gz":
            return _unpack_with("gzip", zlib.decompressobj(31), packed)
        case ".xz":
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_LIMIT)
            return _unpack_with("xz", decompressor, packed)
        case ".zst":
            return _unpack_with("zstd", zstd.ZstdDecompressor(), packed)
        case ending:
            raise Refused(f"its control archive is compressed as {ending!r}; none, .gz, .xz and .zst can be read")


def _unpack_with(coding: str, decompressor: _Decompressor, packed: bytes) -> bytes:
    try:
        data = decompressor.decompress(packed, CONTROL_ARCHIVE_LIMIT + 1)
    except (zlib.error, lzma.LZMAError, zstd.ZstdError, MemoryError) as error:
        raise Refused(f"its control archive is no valid {coding}: {error}") from None
    if len(data) > CONTROL_ARCHIVE_LIMIT:
        raise Refused(f"its control archive unpacks to more than {CONTROL_ARCHIVE_LIMIT} bytes")
    if not decompressor.eof:
        raise Refused(f"its control archive is torn: the {coding} stream has no end")
    if decompressor.unused_data.strip(b"\0"):
        raise Refused(f"its control archive has bytes after the end of the {coding} stream")
    return data


def _control_member(archive: bytes) -> bytes:
    found: bytes | None = None
    at = 0
    for _ in range(_TAR_MEMBERS_LIMIT):
        header = archive[at : at + _TAR_BLOCK]
        if not header.strip(b"\0"):
            break
        if len(header) != _TAR_BLOCK:
            raise Refused("its control archive is torn: a tar header is cut off")
        size = _tar_size(header)
        start = at + _TAR_BLOCK
        if start + size > len(archive):
            raise Refused("its control archive is torn: a tar member is cut off")
        kind = header[156:157]
        if _tar_name(header) == b"control" and kind not in (b"x", b"g", b"L", b"K"):
            if found is not None:
                raise Refused("its control archive has two members called control")
            if kind not in (b"0", b"\0", b"7"):
                raise Refused("the control file in its control archive is a link or device, no file")
            found = archive[start : start + size]
        elif kind in (b"x", b"L") and b"control" in archive[start : start + size]:
            # A long name or pax attributes for the member that follows.
            raise Refused("its control archive names a member control by an extended header")
        at = start + (size + _TAR_BLOCK - 1) // _TAR_BLOCK * _TAR_BLOCK
    else:
        raise Refused(f"its control archive has more than {_TAR_MEMBERS_LIMIT} members")
    if found is None:
        raise Refused("its control archive has no file called control")
    return found


def _tar_size(header: bytes) -> int:
    digits = header[124:136].strip(b" \0")
    if digits and not all(c in b"01234567" for c in digits):
        raise Refused("its control archive is broken: a tar member's size is no octal number")
    return int(digits or b"0", 8)


def _tar_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    full = prefix + b"/" + name if prefix else name
    parts = [part for part in full.split(b"/") if part not in (b"", b".")]
    return b"/".join(parts)
