"""Checks that the header of an rpm is safe to index.

- Each tag has the type that rpm gives it, and tags that belong together have the same number of values: createrepo_c
  does not check this, and would read beyond the values.
- Its triggers fit together, and with their scripts: rpm or dnf can crash otherwise.
- The paths of the files are not too long together: a few bytes can name a great many long paths.
- Rich dependencies, such as `(a if (b or c))`, are neither nested too deeply nor too long: dnf and zypper read them
  recursively, also the parts of `(a or b or c)`, and crash when they read a repository that has one of 200,000.
- No text is so long that libxml2 refuses the index that it stands in, and all together can't exhaust memory.

    check_header(walk(file).header)

Source: rpm.org, "Tags"; createrepo_c's Python binding.
"""

import re

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import I18N, INT16, INT32, INT64, STRING, STRINGS, Header
from packrat_core.packages.rpm.tags import (
    BASE_NAMES,
    DIR_INDEXES,
    DIR_NAMES,
    FILE_CAPABILITIES,
    FORMER_BASE_NAMES,
    FORMER_DIR_INDEXES,
    FORMER_DIR_NAMES,
    WHOLE_PATHS,
)
from packrat_core.packages.rpm.triggers import check_triggers

_PATHS_LIMIT = 32 * 1024 * 1024
_NESTING_LIMIT = 100
_WORDS_LIMIT = 2000
"""Words of a rich dependency."""
_TEXT_LIMIT = 1024 * 1024
"""Bytes of a text. libxml2 reads attributes up to 10,000,000, and XML may write a character as six."""
_TEXTS_LIMIT = 32 * 1024 * 1024
"""Bytes of all texts, written as XML."""
_LONGEST_ESCAPE = 6
_PARENTHESES = re.compile(rb"[()]")
_DEPENDENCIES = (
    *((1047, 1112, 1113), (1049, 1048, 1050), (1054, 1053, 1055), (1090, 1114, 1115)),
    *((5046, 5048, 5047), (5049, 5051, 5050), (5052, 5054, 5053), (5055, 5057, 5056)),
)
"""Tags of what a package provides, requires, conflicts with … (names, flags, versions)."""

_TOGETHER = (
    *(*_DEPENDENCIES, (1081, 1080, 1082)),
    *((BASE_NAMES, DIR_INDEXES, BASE_NAMES), (FORMER_BASE_NAMES, FORMER_DIR_INDEXES, FORMER_BASE_NAMES)),
)
"""Groups of tags (names, numbers, texts) whose values belong together one by one."""

_KINDS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((1000, 1001, 1002, 1007, 1010, 1011, 1014, 1015, 1020, 1021, 1022, 1044), (STRING,)),
    **dict.fromkeys((1004, 1005, 1016), (STRING, I18N)),
    **dict.fromkeys((1003, 1006, 1009, 1028, 1034, 1037, 1045, 1046, 1106), (INT32,)),
    **dict.fromkeys((5008, 5009), (INT64,)),
    **dict.fromkeys((1030, 1033), (INT16,)),
    **dict.fromkeys((WHOLE_PATHS, 1035, 1036, 1039, 1040, FILE_CAPABILITIES, DIR_NAMES, FORMER_DIR_NAMES), (STRINGS,)),
    **{
        tag: (kind,)
        for names, numbers, texts in _TOGETHER
        for tag, kind in ((names, STRINGS), (numbers, INT32), (texts, STRINGS))
    },
}
"""Tag → the types that rpm allows for it."""

_NOT_INDEXED = frozenset({1035, 1036, 1039, 1040, FILE_CAPABILITIES, FORMER_BASE_NAMES, FORMER_DIR_NAMES})
"""What is there of each file beside its path: of half a million files, the hashes alone have 32 MB."""
_INDEXED = tuple(
    tag for tag, kinds in _KINDS.items() if tag not in _NOT_INDEXED and not {STRING, STRINGS, I18N}.isdisjoint(kinds)
)
"""Tags of texts, nearly all of which get into the index."""


def check_header(header: Header) -> None:
    """Check types and numbers of the values that the index uses, the length of the paths, and rich dependencies.

    Raises:
        Refused: clients or createrepo_c could not read the header.
    """
    for tag, item in header.items.items():
        if item.kind not in _KINDS.get(tag, (item.kind,)):
            raise Refused(f"its header is broken: tag {tag} has type {item.kind}")
    for together in _TOGETHER:
        if len({header.items[tag].number for tag in together if tag in header.items}) > 1:
            raise Refused(f"its header is broken: tags {together} differ in length")
    check_triggers(header)
    _check_texts(header)
    for dependencies, *_ in _DEPENDENCIES:
        for text in header.texts(dependencies):
            _check_rich(text)
    _check_paths(header, DIR_NAMES, DIR_INDEXES)
    _check_paths(header, FORMER_DIR_NAMES, FORMER_DIR_INDEXES)


def _check_paths(header: Header, dir_names: int, dir_indexes: int) -> None:
    """Check that the paths of the files are not too long together.

    Args:
        header: that of the package.
        dir_names: the tag of the directories.
        dir_indexes: the tag of the numbers of each file's directory.

    Raises:
        Refused: they are, or a directory is missing.
    """
    # A path repeats the name of its directory, in the index and in memory, so many files multiply one long name.
    lengths = [len(name) for name in header.texts(dir_names)]
    try:
        paths = sum(lengths[index] for index in header.numbers(dir_indexes))
    except IndexError:
        raise Refused("its header is broken: a file stands in a directory that is not listed") from None
    if paths > _PATHS_LIMIT:
        raise Refused(f"the paths of its files have more than {_PATHS_LIMIT} bytes")


def _check_texts(header: Header) -> None:
    # Fast path for nearly all packages: whatever the texts are, they are few.
    room = sum(header.items[tag].end - header.items[tag].start for tag in _INDEXED if tag in header.items)
    if room <= _TEXT_LIMIT:
        return
    total = 0
    for tag in _INDEXED:
        for text in header.texts(tag):
            if len(text) > _TEXT_LIMIT:
                raise Refused(
                    f"its header has a text of {len(text)} bytes under tag {tag}, with which clients can't read the "
                    f"index: the limit is {_TEXT_LIMIT}",
                    hint="rebuild it with a shorter one",
                )
            total += len(text) + (_LONGEST_ESCAPE - 1) * sum(map(text.count, (b"&", b"<", b">", b'"')))
    if total > _TEXTS_LIMIT:
        raise Refused(f"the texts in its header come to more than {_TEXTS_LIMIT} bytes in the index")


def _check_rich(dependency: bytes) -> None:
    # Only what begins so is a rich dependency; names such as `libc.so.6()(64bit)` have parentheses as well.
    if not dependency.startswith(b"("):
        return
    if len(dependency) > _WORDS_LIMIT and len(dependency.split()) > _WORDS_LIMIT:
        raise Refused(
            f"its header has a rich dependency of more than {_WORDS_LIMIT} words, which can crash clients: "
            f"{dependency[:60].decode('ascii', 'backslashreplace')!r}",
            hint="rebuild it without",
        )
    if dependency.count(b"(") <= _NESTING_LIMIT:
        return
    depth = 0
    for parenthesis in _PARENTHESES.finditer(dependency):
        depth = depth + 1 if parenthesis[0] == b"(" else max(depth - 1, 0)
        if depth > _NESTING_LIMIT:
            raise Refused(
                f"its header has a rich dependency with more than {_NESTING_LIMIT} nested parentheses, which can crash "
                f"clients: {dependency[:60].decode('ascii', 'backslashreplace')!r}",
                hint="rebuild it without",
            )
