"""Reads control archives of the form that nearly all packages have: a few plain files, and perhaps the top directory.

It is there for speed, and never refuses: what it doesn't know is left to `TarReader`, which knows all forms and says
what is wrong. Where it finds a control file, `TarReader` finds the same one.
"""

import re

from packrat_core.archives.tar_header import BLOCK, parse_header
from packrat_core.errors import Refused

SIZE_LIMIT = 128 * 1024
"""Bytes of an archive, unpacked; nearly all have some ten thousand."""

_FILE, _DIRECTORY = b"0", b"5"
_TOP = frozenset({b"./", b"."})
_CONTROL = frozenset({b"./control", b"control"})
_NAME = re.compile(rb"(?:\./)?[a-z0-9][a-z0-9-]*")
_END = bytes(BLOCK)


def find_control(archive: bytes) -> bytes | None:
    """Return the control file of an unpacked archive; None if the archive has another form than the usual one."""
    if len(archive) > SIZE_LIMIT:
        return None
    try:
        return _find(archive)
    except Refused:
        return None


def _find(archive: bytes) -> bytes | None:
    """Do the same.

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
        at += header.size + -header.size % BLOCK
        if at > end:
            return None
    return found if archive.count(0, at) == end - at else None
