"""What the header of an rpm says of the files in its payload: names, types, sizes, digests, and links to each other.

    files = read_files(walk(file).header)
    files.find(b"./opt/hello")

Source: rpm's lib/rpmfi.c; rpm.org, "Tags".
"""

import hashlib
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packrat_core.archives.limits import DirectoryNames
from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import Header
from packrat_core.packages.rpm.tags import (
    BASE_NAMES,
    DIR_INDEXES,
    DIR_NAMES,
    FILE_DIGEST_ALGORITHM,
    FILE_DIGESTS,
    FILE_FLAGS,
    FILE_INODES,
    FILE_LONG_SIZES,
    FILE_MODES,
    FILE_SIZES,
    FILE_SYSTEMS,
    FORMER_BASE_NAMES,
    FORMER_DIR_INDEXES,
    FORMER_DIR_NAMES,
    GHOST,
)
from packrat_core.text import count_of

_MD5 = 1
_ALGORITHMS = {_MD5: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
"""Numbers of OpenPGP for the algorithms that rpm knows; it takes any other for MD5."""

_HEX_DIGITS = bytes(number if chr(number) in "0123456789abcdef" else ord("0") for number in bytes(range(256)).lower())
"""For bytes.translate: rpm reads capitals, too, and takes any other character for zero."""


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """The files that a header lists; all sequences are in its order.

    Attributes:
        paths: each with a slash before it.
        kinds: types, as `stat.S_IFMT` gives them.
        ghosts: whether the package owns the file, but does not hold it.
        sizes: in bytes.
        algorithm: that of the digests, by hashlib's name.
        digests: in hex; empty if rpm finds none that it can use.
        links: file → all links to the same inode, in order, where there are several. The last of them has the content.
        names: those in the payload, without a slash before them.
    """

    paths: Sequence[bytes]
    kinds: Sequence[int]
    ghosts: Sequence[bool]
    sizes: Sequence[int]
    algorithm: str
    digests: Sequence[str]
    links: Mapping[int, Sequence[int]]
    names: Sequence[bytes]
    _numbers: Mapping[bytes, int]

    def find(self, name: bytes) -> int | None:
        """Return the number of the file that a name in the archive is of: `./opt/a`, `/opt/a` and `opt/a` are one."""
        return self._numbers.get(name.removeprefix(b"./").removeprefix(b"/"))


def read_files(header: Header) -> PayloadFiles:
    """Read the list of files.

    Args:
        header: one that `check_header` and `check_files` accept, and that lists files.

    Raises:
        Refused: its names in the payload don't fit the paths, a path is there twice or below a file, or links to one
            file are said to differ.
    """
    paths = _paths(header, BASE_NAMES, DIR_INDEXES, DIR_NAMES)
    names = paths
    if FORMER_BASE_NAMES in header.items:
        names = _paths(header, FORMER_BASE_NAMES, FORMER_DIR_INDEXES, FORMER_DIR_NAMES)
    if len(names) != len(paths):
        files, entries = count_of(len(paths), "file"), count_of(len(names), "name")
        raise Refused(f"its header is broken: it has {files}, and {entries} in the payload")
    names = [name.removeprefix(b"/") for name in names]
    kinds = [stat.S_IFMT(mode) for mode in header.numbers(FILE_MODES)]
    flags = header.numbers(FILE_FLAGS) or (0,) * len(paths)
    ghosts = [bool(flag & GHOST) for flag in flags]
    # The numbers of 32 bits count where there are both.
    sizes = header.numbers(FILE_SIZES) or header.numbers(FILE_LONG_SIZES)
    algorithm = _ALGORITHMS.get(next(iter(header.numbers(FILE_DIGEST_ALGORITHM)), _MD5), _ALGORITHMS[_MD5])
    digests = _digests(header, hashlib.new(algorithm, usedforsecurity=False).digest_size * 2)
    links = _links(header, [kind == stat.S_IFREG and not ghost for kind, ghost in zip(kinds, ghosts, strict=True)])
    for number, together in links.items():
        last = together[-1]
        if sizes[number] != sizes[last] or (digests and digests[number] != digests[last]):
            raise Refused(
                f"its header is broken: {shown(paths[number])} and {shown(paths[last])} are links to one file, of "
                "which it has two sizes or digests"
            )
    _check_parents(paths, kinds, ghosts)
    numbers = {name: number for number, name in enumerate(names)}
    if len(numbers) != len(names):
        twice = next(name for number, name in enumerate(names) if numbers[name] != number)
        raise Refused(f"its header lists {shown(b'/' + twice)} twice, and rpm finds one of them alone, or a conflict")
    return PayloadFiles(paths, kinds, ghosts, sizes, algorithm, digests, links, names, numbers)


def shown(path: bytes) -> str:
    """Return a path as it is shown in a message, cut after sixty bytes."""
    return repr(path[:60].decode("utf-8", "backslashreplace"))


def _check_parents(paths: Sequence[bytes], kinds: Sequence[int], ghosts: Sequence[bool]) -> None:
    """Check that no file stands below another one, or below a symbolic link.

    rpm makes a directory of that name first, and can't put the file in its place. It does follow a link that an earlier
    version of the package has put there, so such a package can be updated, but not installed.

    Args:
        paths: those of all files.
        kinds: their types.
        ghosts: whether they are ghosts, which rpm does not create.

    Raises:
        Refused: one stands below another one, or their directories are nested too deeply.
    """
    created = [(path, kind) for path, kind, is_ghost in zip(paths, kinds, ghosts, strict=True) if not is_ghost]
    blocked = {path for path, kind in created if kind != stat.S_IFDIR}
    seen, limit = set(), DirectoryNames()
    for parent in {path.rpartition(b"/")[0] for path, _ in created}:
        directory = parent
        while directory and directory not in seen:
            if directory in blocked:
                raise Refused(
                    f"it has files below {shown(directory)}, which is no directory, and rpm can't create both"
                )
            seen.add(directory)
            limit.count(directory.decode("latin-1"))
            directory = directory.rpartition(b"/")[0]


def _paths(header: Header, base_names: int, dir_indexes: int, dir_names: int) -> list[bytes]:
    """Put paths together.

    Args:
        header: that of the package.
        base_names: the tag of the names.
        dir_indexes: the tag of the numbers of their directories.
        dir_names: the tag of the directories.

    Raises:
        Refused: the three do not fit together.
    """
    directories = header.texts(dir_names)
    parts = zip(header.texts(base_names), header.numbers(dir_indexes), strict=True)
    try:
        return [directories[index] + name for name, index in parts]
    except (IndexError, ValueError):
        raise Refused(f"its header is broken: tags {(base_names, dir_indexes, dir_names)} don't fit together") from None


def _digests(header: Header, digits: int) -> list[str]:
    digests = header.texts(FILE_DIGESTS)
    # rpm takes none of them if one is of another length.
    if any(len(digest) not in (0, digits) for digest in digests):
        return []
    return [(digest or b"0" * digits).translate(_HEX_DIGITS).decode("ascii") for digest in digests]


def _links(header: Header, has_content: Sequence[bool]) -> dict[int, Sequence[int]]:
    inodes, systems = header.numbers(FILE_INODES), header.numbers(FILE_SYSTEMS)
    if len(inodes) != len(has_content) or len(systems) != len(has_content):
        return {}
    together: dict[tuple[int, int], list[int]] = {}
    for number, identity in enumerate(zip(systems, inodes, strict=True)):
        if has_content[number] and identity[1]:
            together.setdefault(identity, []).append(number)
    return {number: links for links in together.values() if len(links) > 1 for number in links}
