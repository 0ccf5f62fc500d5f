"""Checks the list of files in the header of an rpm: what rpm can't read or create there, no client can install.

1. The header names an operating system, without which rpm reads no package, and no other payload than one of cpio.
2. With the names of the files stand their directories, sizes, modes, owners and groups.
3. Each list that says something of every file has as many entries as there are files.
4. rpm writes a file beside the place where it belongs, under a longer name, and renames it.

    check_files(walk(file).header)

Source: rpm's rpmfi.c and fsm.c; rpm.org, "Tags".
"""

import stat

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import Header
from packrat_core.packages.rpm.tags import (
    BASE_NAMES,
    DIR_INDEXES,
    DIR_NAMES,
    FILE_DEVICES,
    FILE_FLAGS,
    FILE_GROUPS,
    FILE_INODES,
    FILE_LONG_SIZES,
    FILE_MODES,
    FILE_SIZES,
    FILE_TIMES,
    FILE_USERS,
    OS,
    PAYLOAD_FORMAT,
)
from packrat_core.text import count_of

_NEEDED = (DIR_INDEXES, DIR_NAMES, FILE_MODES, FILE_USERS, FILE_GROUPS)
_OF_EACH_FILE = (
    *(FILE_SIZES, FILE_LONG_SIZES, FILE_MODES, FILE_DEVICES, FILE_TIMES, FILE_FLAGS, FILE_USERS, FILE_GROUPS),
    FILE_INODES,
)
_GHOST = 64
"""Flag of a file that the package owns but does not hold."""
_NAME_BYTES = 255
_WRITTEN_NAME_BYTES = _NAME_BYTES - len(";6b09f0b2")


def check_files(header: Header) -> None:
    """Check the list of files.

    Raises:
        Refused: rpm can't read it, or can't create one of the files.
    """
    if OS not in header.items:
        raise Refused("its header is broken: it names no operating system, without which rpm can't read it")
    payload = header.text(PAYLOAD_FORMAT)
    if payload is not None and payload != b"cpio":
        shown = payload[:60].decode("utf-8", "backslashreplace")
        raise Refused(f"its payload is called {shown!r}, and rpm unpacks cpio alone")
    files = header.items.get(BASE_NAMES)
    if files is None:
        return
    for tag in _NEEDED:
        if tag not in header.items:
            raise Refused(f"its header is broken: it has names of files, but not tag {tag}, without which rpm fails")
    if FILE_SIZES not in header.items and FILE_LONG_SIZES not in header.items:
        raise Refused("its header is broken: it has names of files, but not their sizes, without which rpm fails")
    for tag in _OF_EACH_FILE:
        item = header.items.get(tag)
        if item is not None and item.number != files.number:
            told = f"{count_of(files.number, 'file')}, and {count_of(item.number, 'value')} of tag {tag}"
            raise Refused(f"its header is broken: it has {told}")
    _check_names(header)


def _check_names(header: Header) -> None:
    names = header.texts(BASE_NAMES)
    # Fast path for nearly all packages.
    if max(map(len, names)) > _WRITTEN_NAME_BYTES:
        flags = header.numbers(FILE_FLAGS) or (0,) * len(names)
        for name, mode, flag in zip(names, header.numbers(FILE_MODES), flags, strict=True):
            if not flag & _GHOST:
                _check_name(name, _NAME_BYTES if stat.S_ISDIR(mode) else _WRITTEN_NAME_BYTES)
    for directory in header.texts(DIR_NAMES):
        for part in directory.split(b"/") if len(directory) > _NAME_BYTES else ():
            _check_name(part, _NAME_BYTES)


def _check_name(name: bytes, limit: int) -> None:
    if len(name) > limit:
        shown = name[:60].decode("utf-8", "backslashreplace")
        raise Refused(f"it has a file with a name of {len(name)} bytes, {shown!r}; rpm can't create more than {limit}")
