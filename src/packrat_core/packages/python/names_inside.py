"""Checks that clients can unpack the names in a wheel or a source distribution that is a zip archive.

1. No name occurs twice, and none is both that of a file and of a directory.
2. No two names that clients read by name, nor directories above them, are one where case doesn't count.
3. No part of a name is longer than file systems take.
"""

import re
from collections.abc import Iterable, Sequence

from packrat_core.archives.limits import DirectoryNames
from packrat_core.archives.member_names import FILE_NAME_BYTES, MetadataNames, normalize_name
from packrat_core.archives.zip_directory import ZipMember
from packrat_core.errors import Refused

_USUAL_MEMBERS = 500
"""So few members, with names so short, have too few directories for `DirectoryNames` to refuse."""
_IN_METADATA = re.compile(r"([^/]+/PKG-INFO|[^/]+\.dist-info(/.*)?)")
"""What pip, uv and importlib.metadata read by name."""


def check_names(members: Sequence[ZipMember]) -> None:
    """Check the names of all members, each of which `check_name` takes.

    Raises:
        Refused: clients would unpack one over the other, or can't create a file.
    """
    if not are_names_usual(members):
        refuse_doubles(members)
        refuse_files_on_the_way(members)


def are_names_usual(members: Sequence[ZipMember]) -> bool:
    """Tell in little time of the names in nearly every wheel that none of them can be refused."""
    names = [member.name for member in members]
    joined = "\n".join((*names, ""))
    if (
        len(names) > _USUAL_MEMBERS
        or joined.count("\n") != len(names)
        or not joined.isascii()
        or any(part in joined for part in ("//", "./", ".\n"))
    ):
        return False
    directories = set[str]()
    for name in names:
        directory = name.rpartition("/")[0]
        # Those above a known directory are known, too.
        while directory and directory not in directories:
            directories.add(directory)
            directory = directory.rpartition("/")[0]
    # All names differ, even where case doesn't count, and no file has the name of a directory.
    different = set(joined.lower().split("\n")).union(map(str.lower, directories))
    return len(different) == len(names) + 1 + len(directories) and max(map(len, names), default=0) <= FILE_NAME_BYTES


def refuse_doubles(members: Iterable[ZipMember]) -> None:
    """Refuse metadata that stand under one name to some file systems, names that occur twice, and too long ones.

    Raises:
        Refused: clients would unpack one over the other, or can't create a file.
    """
    names, seen = MetadataNames(_IN_METADATA), set[str]()
    for member in members:
        name = normalize_name(member.name)
        if name in seen:
            raise Refused(f"it has two members called {name[:80]!r}")
        if max(map(len, member.raw_name.split(b"/"))) > FILE_NAME_BYTES:
            raise Refused(f"its member {name[:80]!r} has a name of more than {FILE_NAME_BYTES} bytes")
        seen.add(name)
        names.add(member.name)


def refuse_files_on_the_way(members: Iterable[ZipMember]) -> None:
    """Refuse an archive in which one name is that of a file and of a directory, so that clients can't unpack it.

    Raises:
        Refused: there is such a name.
    """
    files = {normalize_name(member.name) for member in members if not member.name.endswith("/")}
    directories, names = set[str](), DirectoryNames()
    for name in files:
        directory = name.rpartition("/")[0]
        # Those above a known directory are known, too.
        while directory and directory not in directories:
            if directory in files:
                raise Refused(f"its file {directory[:80]!r} has the place of a directory above {name[:80]!r}")
            names.count(directory)
            directories.add(directory)
            directory = directory.rpartition("/")[0]
