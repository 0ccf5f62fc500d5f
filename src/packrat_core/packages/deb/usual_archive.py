"""Reads packages and control archives of the form that nearly all have: three members, a few plain files in the second.

It is there for speed, and never refuses: what it doesn't know is left to `list_members` and `TarReader`, which know all
forms and say what is wrong. Where it finds a control file, they find the same one.
"""

import re

from packrat_core.archives.compressed_stream import unpack_at_once
from packrat_core.archives.tar_header import BLOCK, parse_header
from packrat_core.errors import Refused

SIZE_LIMIT = 128 * 1024
"""Bytes of an archive, unpacked; nearly all have some ten thousand."""

_BEGINNING, _VERSION = b"!<arch>\ndebian-binary   ", b"4         `\n2.0\n"
_MEMBER, _MEMBER_END = 60, b"`\n"
_FIRST_MEMBER = 72
_CODINGS = {b"control.tar": None, b"control.tar.gz": "gzip", b"control.tar.xz": "xz", b"control.tar.zst": "zstd"}
_DATA = frozenset(b"data.tar" + ending for ending in (b"", b".gz", b".xz", b".zst", b".bz2", b".lzma"))

_FILE, _DIRECTORY = b"0", b"5"
_TOP = frozenset({b"./", b"."})
_CONTROL = frozenset({b"./control", b"control"})
_NAME = re.compile(rb"(?:\./)?[a-z0-9][a-z0-9-]*")
_END = bytes(BLOCK)
_ZEROS = bytes(SIZE_LIMIT)


def find_in_package(front: bytes, size: int) -> bytes | None:
    """Return the control file of a package; None if the package has another form than the usual one.

    Args:
        front: The first bytes of the package, or all of it.
        size: The size of the whole package in bytes.
    """
    if front[:24] != _BEGINNING or front[56:_FIRST_MEMBER] != _VERSION:
        return None
    control = _member(front, _FIRST_MEMBER)
    if control is None or control[0] not in _CODINGS:
        return None
    start = _FIRST_MEMBER + _MEMBER
    end = start + control[1]
    at = end + control[1] % 2
    data = _member(front, at)
    # Nothing follows the data archive.
    if data is None or data[0] not in _DATA or at + _MEMBER + data[1] + data[1] % 2 != size:
        return None
    packed, coding = front[start:end], _CODINGS[control[0]]
    archive = packed if coding is None else unpack_at_once(packed, coding, SIZE_LIMIT)
    return None if archive is None else find_control(archive)


def _member(front: bytes, at: int) -> tuple[bytes, int] | None:
    """Give name and size of the member whose header begins at an offset; None where there is none."""
    header = front[at : at + _MEMBER]
    digits = header[48:58].rstrip(b" ")
    if header[58:] != _MEMBER_END or not digits.isdigit():
        return None
    return header[:16].rstrip(b" ").removesuffix(b"/"), int(digits)


def find_control(archive: bytes) -> bytes | None:
    """Return the control file of an unpacked archive; None if the archive has another form than the usual one."""
    if len(archive) > SIZE_LIMIT:
        return None
    try:
        return _find(archive)
    except Refused:
        return None


def _find(archive: bytes) -> bytes | None:
    """Walk the members of an archive and return its control file; None if it has another form.

    Raises:
        Refused: A header is broken.
    """
    found: bytes | None = None
    at, end = 0, len(archive)
    while (block := archive[at : at + BLOCK]) != _END:
        if len(block) != BLOCK:
            return None
        header = parse_header(block)
        name, at = header.name, at + BLOCK
        # Nothing of the name may stand in another field, which some clients don't read.
        if name != header.name_field:
            return None
        if header.kind == _DIRECTORY:
            if name not in _TOP or header.size:
                return None
            continue
        if header.kind != _FILE or _NAME.fullmatch(name) is None:
            return None
        if name in _CONTROL:
            if found is not None:
                return None
            found = archive[at : at + header.size]
        # Where a member is cut off, nothing is left of the archive, and the next block ends this.
        at += header.size + -header.size % BLOCK
    return found if archive[at:] == _ZEROS[: end - at] else None
