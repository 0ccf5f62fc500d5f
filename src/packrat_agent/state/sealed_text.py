"""Writes and reads the text of the sealed list: what the agent believes below root_dir after a lost state database.

    packrat-agent sealed list 1
    mirror <name of the mirror>
    backups <source of the fragments>
    <SHA-256 of a package file> <SHA-256 of its fragment backup>
    names
    <SHA-256 of a package file> <path that it was published under>

The first line is that of no other text that the mirror's key signs, so nothing else can be taken for such a list.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

FIRST_LINE = "packrat-agent sealed list 1"
_PORTION = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SealedText:
    """The content of a sealed list.

    backups: label of a source → SHA-256 of each package file → that of its backup. names: path → the SHA-256 of the
    package file that was published under it.
    """

    mirror: str
    backups: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]


Backups = Mapping[str, Mapping[str, str]]


def write_in_portions(mirror: str, backups: Backups, names: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Write a list, and give it some lines at a time; the same content gives the same bytes.

    Args:
        mirror: The name of the mirror.
        backups: As in `SealedText`.
        names: Each path with its SHA-256, in the order of the paths.
    """
    lines = _lines(mirror, backups, names)
    # A large list is joined in portions, since a string of Python is larger than its text.
    while portion := list(islice(lines, _PORTION)):
        yield "".join(portion).encode()


def _lines(mirror: str, backups: Backups, names: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"{FIRST_LINE}\n"
    yield f"mirror {mirror}\n"
    for label, found in sorted(backups.items()):
        yield f"backups {label}\n"
        yield from (f"{sha256} {digest}\n" for sha256, digest in sorted(found.items()))
    yield "names\n"
    yield from (f"{sha256} {path}\n" for path, sha256 in names if path.isprintable())


def read_sealed_text(text: bytes) -> SealedText:
    """Read a list whose seal was found good.

    Raises:
        ValueError: It is not one.
    """
    lines = iter(text.decode().split("\n"))
    if next(lines, "") != FIRST_LINE:
        raise ValueError("it is not a sealed list of this version")
    word, _, mirror = next(lines, "").partition(" ")
    if word != "mirror":
        raise ValueError("it names no mirror")
    backups: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    into: dict[str, str] = {}
    is_of_names = False
    for line in lines:
        first, _, second = line.partition(" ")
        if first == "backups" and not is_of_names:
            into = backups.setdefault(second, {})
        elif line == "names":
            is_of_names = True
        elif _SHA256.fullmatch(first) and second:
            if is_of_names:
                names[second] = first
            else:
                into[first] = second
        elif line:
            raise ValueError("it has a line that does not belong to it")
    return SealedText(mirror, backups, names)
