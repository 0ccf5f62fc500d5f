"""Checks the list of files in the header of an rpm: what rpm can't read or create there, no client can install.

1. The header names an operating system, without which rpm reads no package, and no other payload than one of cpio.
2. With the names of the files stand their directories, sizes, modes, owners and groups.
3. Each list that says something of every file has as many entries as there are files.
4. A directory stands below the root: rpm crashes if one doesn't begin with a slash.
5. A file has a name of its own, one part of a path. The root itself has none, but is a directory.
6. The mode of a file says of which type it is.
7. A symbolic link has a target.
8. Capabilities are written as libcap reads them, and are those of Linux: rpm fails in the midst at others.
9. rpm writes a file beside the place where it belongs, under a longer name, and renames it.

    check_files(walk(file).header)

Source: rpm's rpmfi.c and fsm.c; rpm.org, "Tags"; cap_from_text(3).
"""

import re
import stat
from collections.abc import Sequence

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import Header
from packrat_core.packages.rpm.tags import (
    BASE_NAMES,
    DIR_INDEXES,
    DIR_NAMES,
    FILE_CAPABILITIES,
    FILE_COLORS,
    FILE_DEVICES,
    FILE_DIGESTS,
    FILE_FLAGS,
    FILE_GROUPS,
    FILE_INODES,
    FILE_LONG_SIZES,
    FILE_MODES,
    FILE_SIZES,
    FILE_TARGETS,
    FILE_TIMES,
    FILE_USERS,
    GHOST,
    OS,
    PAYLOAD_FORMAT,
)
from packrat_core.text import count_of

_NEEDED = (DIR_INDEXES, DIR_NAMES, FILE_MODES, FILE_USERS, FILE_GROUPS)
_OF_EACH_FILE = (
    *(FILE_SIZES, FILE_LONG_SIZES, FILE_MODES, FILE_DEVICES, FILE_TIMES, FILE_FLAGS, FILE_USERS, FILE_GROUPS),
    *(FILE_INODES, FILE_DIGESTS, FILE_COLORS, FILE_CAPABILITIES),
)
_TYPES = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK})
_CAPABILITY_NAMES = (
    "chown|dac_override|dac_read_search|fowner|fsetid|kill|setgid|setuid|setpcap|linux_immutable|net_bind_service|"
    "net_broadcast|net_admin|net_raw|ipc_lock|ipc_owner|sys_module|sys_rawio|sys_chroot|sys_ptrace|sys_pacct|"
    "sys_admin|sys_boot|sys_nice|sys_resource|sys_time|sys_tty_config|mknod|lease|audit_write|audit_control|setfcap|"
    "mac_override|mac_admin|syslog|wake_alarm|block_suspend|audit_read|perfmon|bpf|checkpoint_restore"
)
"""The capabilities of Linux, the last three since 5.9."""
_CAPABILITY_NUMBER = r"0x0*[0-3]?[0-9a-f]|0+[0-7]{0,2}|[1-9]|[1-5][0-9]|6[0-3]"
"""0 to 63, in the ways that C writes them. A number may have a meaning that it has not yet."""
_CAPABILITY = rf"(?i:cap_(?:{_CAPABILITY_NAMES})|{_CAPABILITY_NUMBER}|all)"
_CAPABILITIES = rf"(?:{_CAPABILITY}(?:,{_CAPABILITY})*(?:=[eip]*|[+-][eip]+)(?:[+-][eip]+)*|=[eip]*)"
_CAPABILITIES_TEXT = re.compile(rf"\s*(?:{_CAPABILITIES}(?:\s+{_CAPABILITIES})*\s*)?".encode())
_NO_NAMES = frozenset({b"", b".", b".."})
_NAME_BYTES = 255
_TARGET_BYTES = 4095
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
            counts = f"{count_of(files.number, 'file')}, and {count_of(item.number, 'value')} of tag {tag}"
            raise Refused(f"its header is broken: it has {counts}")
    _check_names(header)


def _check_names(header: Header) -> None:
    names, modes = header.texts(BASE_NAMES), header.numbers(FILE_MODES)
    kinds = set(map(stat.S_IFMT, set(modes)))
    is_usual = max(map(len, names)) <= _WRITTEN_NAME_BYTES and _NO_NAMES.isdisjoint(names)
    flags = header.numbers(FILE_FLAGS) or (0,) * len(names)
    # Fast path for nearly all packages.
    if not is_usual or b"/" in b"".join(names) or not _TYPES.issuperset(kinds):
        for name, mode, flag in zip(names, modes, flags, strict=True):
            if not flag & GHOST:
                _check_file(name, stat.S_IFMT(mode))
    if stat.S_IFLNK in kinds:
        _check_targets(
            header, [stat.S_ISLNK(mode) and not flag & GHOST for mode, flag in zip(modes, flags, strict=True)]
        )
    if FILE_CAPABILITIES in header.items:
        _check_capabilities(
            header, [stat.S_ISREG(mode) and not flag & GHOST for mode, flag in zip(modes, flags, strict=True)]
        )
    for directory in header.texts(DIR_NAMES):
        if not directory.startswith(b"/"):
            raise Refused(
                f"it has files in {_shown(directory)}, and rpm takes directories that begin with a slash alone"
            )
        for part in directory.split(b"/") if len(directory) > _NAME_BYTES else ():
            _check_length(part, _NAME_BYTES)


def _check_file(name: bytes, kind: int) -> None:
    if kind not in _TYPES:
        raise Refused(f"it has a file, {_shown(name)}, whose mode names no type that rpm knows")
    is_directory = kind == stat.S_IFDIR
    if not is_directory and (name in _NO_NAMES or b"/" in name):
        raise Refused(f"it has a file with the name {_shown(name)}, which rpm can't create")
    _check_length(name, _NAME_BYTES if is_directory else _WRITTEN_NAME_BYTES)


def _check_targets(header: Header, is_link: Sequence[bool]) -> None:
    if not any(is_link):
        return
    targets = header.texts(FILE_TARGETS)
    if len(targets) != len(is_link):
        raise Refused(
            f"its header is broken: it has {count_of(len(is_link), 'file')}, some of them symbolic links, and "
            f"{count_of(len(targets), 'value')} of tag {FILE_TARGETS}"
        )
    for name, target, is_created in zip(header.texts(BASE_NAMES), targets, is_link, strict=True):
        if is_created and not 0 < len(target) <= _TARGET_BYTES:
            raise Refused(
                f"it has a symbolic link, {_shown(name)}, with a target of {len(target)} bytes; rpm creates those "
                f"with 1 to {_TARGET_BYTES}"
            )


def _check_capabilities(header: Header, is_regular: Sequence[bool]) -> None:
    for name, text, is_set in zip(header.texts(BASE_NAMES), header.texts(FILE_CAPABILITIES), is_regular, strict=True):
        if is_set and text and not _CAPABILITIES_TEXT.fullmatch(text):
            raise Refused(f"it has a file, {_shown(name)}, with the capabilities {_shown(text)}, which rpm can't set")


def _check_length(name: bytes, limit: int) -> None:
    if len(name) > limit:
        raise Refused(
            f"it has a file with a name of {len(name)} bytes, {_shown(name)}; rpm can't create more than {limit}"
        )


def _shown(name: bytes) -> str:
    return repr(name[:60].decode("utf-8", "backslashreplace"))
